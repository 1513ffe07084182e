#!/bin/sh
# h2o 2.2.5 (Debian 2.2.5+dfsg2-7) as a reverse proxy: a chunked answer whose upstream goes away before the last chunk.
#
# Guess before the run: the connection breaks, so that whoever reads the answer knows that it is not whole.
# Seen: if the upstream closes, the last chunk is made up, and the half looks whole; if it resets, a chunk without its
# bytes, then the connection breaks.
# What it means: behind h2o the end of a body proves nothing; a format has to say by itself when it is over.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq h2o=2.2.5+dfsg2-7 2> log || { cat log; exit 1; }
for file in ./*.deb; do dpkg-deb -x "$file" root; done
cat > run.py <<'PY'
import socket
import struct
import subprocess
import threading
import time

CONFIG = """
user: root
num-threads: 1
listen:
  host: 127.0.0.1
  port: {port}
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: http://127.0.0.1:{up}/
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
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    time.sleep(0.5)
    if b"/whole" in asked:
        connection.sendall(b"0\r\n\r\n")
    elif b"/reset" in asked:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def asked(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=3) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        came = b""
        try:
            while not came.endswith(b"0\r\n\r\n") and (piece := sock.recv(65536)):
                came += piece
        except TimeoutError:
            came += b"(silence)"
    return came.split(b"\r\n\r\n", 1)[1]


listening, port = socket.create_server(("127.0.0.1", 0)), free_port()
threading.Thread(target=upstream, args=(listening,), daemon=True).start()
with open("conf", "w") as file:
    file.write(CONFIG.format(port=port, up=listening.getsockname()[1]))
command = ["root/usr/bin/h2o", "-m", "worker", "-c", "conf"]
with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    for path in ("/whole", "/closed", "/reset"):
        print(f"{path}: {asked(port, path)}")
    process.terminate()
PY
cat > expected <<'TXT'
/whole: b'4\r\nhalf\r\n0\r\n\r\n'
/closed: b'4\r\nhalf\r\n0\r\n\r\n'
/reset: b'4\r\nhalf\r\n\r\n1\r\n'
TXT
python3 run.py | tee seen
diff expected seen
