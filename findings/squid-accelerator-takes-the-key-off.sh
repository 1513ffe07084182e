#!/bin/sh
# Squid 5.7 (Debian 5.7-2+deb12u6) in front of a web server, as an accelerator: whether Authorization arrives behind it.
#
# Guess before the run: it does, as behind every other reverse proxy; the header is for the server.
# Seen: it does not. The server never sees it, and refuses every key; with login=PASSTHRU on cache_peer it arrives.
# What it means: a 401 behind Squid need not be about the key, though it is the server that says it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq squid=5.7-2+deb12u6 libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 \
    squid-common=5.7-2+deb12u6 2> log || { cat log; exit 1; }
for file in ./*.deb; do dpkg-deb -x "$file" root; done
chmod -R a+rwX .  # it gives root's rights away
cat > run.py <<'PY'
import os
import socket
import subprocess
import threading
import time

CONFIG = """
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent {up} 0 no-query no-digest originserver {more}
http_access allow all
cache deny all
pid_filename none
access_log none
cache_log /dev/null
coredump_dir {folder}
mime_table {folder}/root/usr/share/squid/mime.conf
icon_directory {folder}/root/usr/share/squid/icons
error_directory {folder}/root/usr/share/squid/errors/en
visible_hostname squid
pinger_enable off
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def upstream(listening):
    while True:
        connection, _ = listening.accept()
        came = connection.recv(65536).lower()
        said = b"it came" if b"\r\nauthorization: bearer x\r\n" in came else b"nothing"
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n" + said)
        connection.close()


def asked(more):
    port = free_port()
    with open("conf", "w") as file:
        file.write(CONFIG.format(port=port, up=listening.getsockname()[1], more=more, folder=os.getcwd()))
    libraries = {"LD_LIBRARY_PATH": "root/usr/lib/x86_64-linux-gnu"}
    command = ["root/usr/sbin/squid", "-N", "-n", f"finding{port}", "-f", "conf"]
    with subprocess.Popen(command, env=libraries, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(400):
            try:
                sock = socket.create_connection(("127.0.0.1", port), timeout=10)
                break
            except OSError:
                time.sleep(0.05)
        with sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n")
            came = b""
            while piece := sock.recv(65536):
                came += piece
        process.kill()
    return came.split(b"\r\n\r\n", 1)[1].decode()


listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=upstream, args=(listening,), daemon=True).start()
print("cache_peer:", asked(""))
print("cache_peer login=PASSTHRU:", asked("login=PASSTHRU"))
PY
cat > expected <<'TXT'
cache_peer: nothing
cache_peer login=PASSTHRU: it came
TXT
python3 run.py | tee seen
diff expected seen
