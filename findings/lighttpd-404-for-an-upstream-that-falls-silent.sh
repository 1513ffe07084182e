#!/bin/sh
# lighttpd 1.4.69 (Debian 1.4.69-1), mod_proxy with read-timeout: an upstream that stops in the middle of its answer.
#
# Guess before the run: 504 where the upstream had said nothing yet, a connection that breaks where it had begun.
# Seen: 504 for the first. For the second 404 Not Found, with a page, though the address exists and was answered: the
# request goes on to whoever serves files.
# What it means: behind lighttpd a 404 does not say that nothing was done; the upstream may have worked, and billed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq lighttpd=1.4.69-1 2> log || { cat log; exit 1; }
for file in ./*.deb; do dpkg-deb -x "$file" root; done
cat > run.py <<'PY'
import os
import socket
import subprocess
import threading
import time

CONFIG = """
server.port = {port}
server.bind = "127.0.0.1"
server.document-root = "{folder}"
server.modules = ( "mod_proxy" )
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {up}, "read-timeout" => 1 )) )
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def upstream(listening):
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    asked = connection.recv(65536)
    if b"/chunked" in asked:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    elif b"/length" in asked:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nhalf")
    elif b"/whole" in asked:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nwhole")
    time.sleep(6)  # silence, longer than lighttpd waits
    connection.close()


def asked(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        sock.sendall(f"{head}Connection: close\r\n\r\nx".encode())
        came = b""
        while piece := sock.recv(65536):
            came += piece
    return came.split(b"\r\n")[0].decode()


listening, port = socket.create_server(("127.0.0.1", 0)), free_port()
threading.Thread(target=upstream, args=(listening,), daemon=True).start()
with open("conf", "w") as file:
    file.write(CONFIG.format(port=port, up=listening.getsockname()[1], folder=os.getcwd()))
command = ["root/usr/sbin/lighttpd", "-D", "-f", "conf", "-m", "root/usr/lib/lighttpd"]
with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    for path in ("/whole", "/says-nothing", "/length", "/chunked"):
        print(f"{path}: {asked(port, path)}")
    process.terminate()
PY
cat > expected <<'TXT'
/whole: HTTP/1.1 200 OK
/says-nothing: HTTP/1.1 504 Gateway Timeout
/length: HTTP/1.1 404 Not Found
/chunked: HTTP/1.1 404 Not Found
TXT
python3 run.py | tee seen
diff expected seen
