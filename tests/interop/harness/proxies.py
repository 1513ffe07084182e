"""Proxies as people put them in front of a gateway: a line of `apt` each, and what is most often written for them."""

from __future__ import annotations

from peers import Peer

_NGINX = """
daemon off; worker_processes 1; pid <dir>/pid; error_log stderr warn; user root;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path <dir>/body; proxy_temp_path <dir>/proxy; fastcgi_temp_path <dir>/f;
  uwsgi_temp_path <dir>/u; scgi_temp_path <dir>/s; keepalive_timeout 1s;
  limit_req_zone $server_port zone=rate:1m rate=10r/s;
  upstream gateway { server 127.0.0.1:<up>; keepalive 8; }
  server {
    listen 127.0.0.1:<port>;
    location / {
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
      %s proxy_read_timeout <patience>s; <limit>
    }
  }
}
"""
_HAPROXY = """
global
  maxconn 512
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout http-keep-alive 1s
  timeout server <patience>s
  retries 0
  %s
frontend in
  bind 127.0.0.1:<port>
  stick-table type integer size 10 expire 1s store http_req_rate(1s)
  http-request track-sc0 int(1)
  <limit>
  default_backend up
backend up
  server up 127.0.0.1:<up>
"""
_APACHE = """
ServerRoot <dir>
PidFile <dir>/pid
ServerName localhost
Listen 127.0.0.1:<port>
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ErrorLog <dir>/error.log
User www-data
Group www-data
KeepAliveTimeout 1
ProxyTimeout <patience>
<limit>
ProxyPass / http://127.0.0.1:<up>/ %s retry=0
"""
_CADDY = """
{
  admin 127.0.0.1:<admin>
  auto_https off
  grace_period 5s
  servers {
    timeouts {
      idle 1s
    }
  }
}
http://127.0.0.1:<port> {
  reverse_proxy 127.0.0.1:<up> {
    transport http {
      response_header_timeout <patience>s
    }
  }
}
"""
_LIGHTTPD = """
server.port = <port>
server.bind = "127.0.0.1"
server.document-root = "<dir>"
server.max-keep-alive-idle = 1
server.modules = ( "mod_proxy" )
%s
<limit>
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => <up>, "connect-timeout" => 1,
                          "read-timeout" => <patience>, "write-timeout" => <patience> )) )
"""
_VARNISH = """
vcl 4.1;
import vsthrottle;
backend up {
  .host = "127.0.0.1"; .port = "<up>";
  .first_byte_timeout = <patience>s; .between_bytes_timeout = <patience>s;
}
sub vcl_recv {
  <limit>
  return (pass);
}
"""
_SQUID = """
http_port 127.0.0.1:<port> %s
%s
http_access allow all
<limit>
cache deny all
pid_filename none
access_log none
cache_log <dir>/cache.log
coredump_dir <dir>
client_idle_pconn_timeout 1 seconds
read_timeout <patience> seconds
shutdown_lifetime 1 seconds
visible_hostname squid
pinger_enable off
"""
_H2O = """
user: root
pid-file: <dir>/pid
error-log: <dir>/error.log
num-threads: 1
<limit>
listen:
  host: 127.0.0.1
  port: <port>
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: http://127.0.0.1:<up>/
        proxy.timeout.io: <patience>000
"""
_TINYPROXY = """
Port <port>
Listen 127.0.0.1
Timeout <patience>
MaxClients 100
<limit>
%s
"""
_STUNNEL = """
foreground = yes
pid = <dir>/pid
syslog = no
[gateway]
accept = 127.0.0.1:<port>
connect = 127.0.0.1:<up>
cert = <dir>/pem
TIMEOUTidle = <patience>
TIMEOUTclose = 0
"""


def _nginx(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("nginx",),
        version="nginx -v",
        files={"conf": _NGINX % more},
        command="nginx -c <dir>/conf -p <dir>",
        reload="SIGHUP",
        limit="limit_req zone=rate burst=5 nodelay;",
    )


def _haproxy(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("haproxy",),
        version="haproxy -v",
        files={"conf": _HAPROXY % more},
        command="haproxy -W -f <dir>/conf",
        reload="SIGUSR2",
        limit="http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10 }",
    )


def _apache(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("apache2",),
        version="apache2 -v",
        files={"conf": _APACHE % more},
        command="apache2 -D FOREGROUND -f <dir>/conf",
        reload="SIGUSR1",
        limit="ServerLimit 1\nThreadsPerChild 4\nMaxRequestWorkers 4",
    )


def _lighttpd(name: str, more: str) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("lighttpd",),
        version="lighttpd -v",
        files={"conf": _LIGHTTPD % more},
        command="lighttpd -D -f <dir>/conf",
        reload="SIGUSR1",
        limit="server.max-connections = 4",
    )


def _squid(name: str, port: str, behind: str, *, forward: bool) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("squid",),
        version="squid -v",
        files={"conf": _SQUID % (port, behind)},
        command="squid -N -n s<port> -f <dir>/conf",
        reload="SIGHUP",
        forward=forward,
        starting=60,
    )


def _tinyproxy(name: str, more: str, *, forward: bool) -> Peer:
    return Peer(
        name=name,
        kind="proxy",
        apt=("tinyproxy",),
        version="tinyproxy -v",
        files={"conf": _TINYPROXY % more},
        command="tinyproxy -d -c <dir>/conf",
        reload="SIGUSR1",
        limit="MaxClients 4",
        forward=forward,
    )


PROXIES = (
    _nginx("nginx", ""),
    _nginx("nginx, unbuffered", "proxy_buffering off;"),
    _haproxy("HAProxy", ""),
    _haproxy("HAProxy, as advised", "option http-no-delay\n  option abortonclose"),
    _apache("Apache", ""),
    _apache("Apache, flushing", "flushpackets=on"),
    Peer(
        name="Caddy",
        kind="proxy",
        apt=("caddy",),
        version="caddy version",
        files={"Caddyfile": _CADDY},
        command="caddy run --config <dir>/Caddyfile --adapter caddyfile",
        reload="caddy reload --address 127.0.0.1:<admin> --config <dir>/Caddyfile --adapter caddyfile --force",
    ),
    _lighttpd("lighttpd", ""),
    _lighttpd("lighttpd, streaming", "server.stream-response-body = 2"),
    Peer(
        name="Varnish",
        kind="proxy",
        apt=("varnish", "varnish-modules"),
        version="varnishd -V",
        files={"conf.vcl": _VARNISH},
        command="varnishd -F -j none -a 127.0.0.1:<port> -f <dir>/conf.vcl -n <dir>/work -s malloc,16m"
        " -p timeout_idle=1",
        reload="varnishadm -n <dir>/work vcl.load v$(date +%s%N) <dir>/conf.vcl >/dev/null && varnishadm -n <dir>/work"
        " vcl.use $(varnishadm -n <dir>/work vcl.list -j | grep -o 'v[0-9]*' | tail -n 1)",
        limit='if (vsthrottle.is_denied("all", 10, 1s)) { return (synth(429, "Too Many Requests")); }',
    ),
    _squid(
        "Squid",
        "accel defaultsite=127.0.0.1",
        "cache_peer 127.0.0.1 parent <up> 0 no-query no-digest originserver login=PASSTHRU name=up",
        forward=False,
    ),
    _squid("Squid, forward", "", "", forward=True),
    Peer(
        name="h2o",
        kind="proxy",
        apt=("h2o",),
        version="h2o -v",
        files={"conf": _H2O},
        command="h2o -m worker -c <dir>/conf",
        limit="max-connections: 4",
    ),
    _tinyproxy("tinyproxy", 'ReverseOnly Yes\nReversePath "/" "http://127.0.0.1:<up>/"', forward=False),
    _tinyproxy("tinyproxy, forward", "", forward=True),
    Peer(
        name="stunnel",
        kind="proxy",
        apt=("stunnel4",),
        version="stunnel4 -version",
        files={"conf": _STUNNEL},
        command="stunnel4 <dir>/conf",
        reload="SIGHUP",
        tls=True,
    ),
)
"""In front of upstream.py."""
