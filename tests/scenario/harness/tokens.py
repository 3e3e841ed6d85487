# SPDX-License-Identifier: ISC
"""
A token service: keys at /keys, introspection at /introspect, over https with
a certificate for localhost; and tokens signed by its key.

    t = TokenService(directory, ca)
    t.token(email="alice@example.test")     a JWT; claims and header may be changed
    t.active["opaque"] = {"email": ...}     what introspection knows
    t.mode = "slow"                         how it misbehaves (F8)
"""
import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

from . import tls

ISSUER = "https://id.example.test"
AUDIENCE = "mail"


def b64url(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.service.seen.append(("GET", self.path, {}))
        self.answer(json.dumps(self.server.service.keys()).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        service = self.server.service
        service.seen.append(("POST", self.path, form))
        if service.mode == "unauthorized" or \
           self.headers.get("Authorization") != service.authorization:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        claims = service.active.get(form.get("token"))
        self.answer(json.dumps({"active": True, **claims} if claims else
                               {"active": False}).encode())

    def answer(self, body):
        mode = self.server.service.mode
        if mode == "slow":
            time.sleep(20)
        elif mode == "error":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        elif mode == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        elif mode == "lying":
            body = b"<html>all is well</html>"
        elif mode == "huge":
            body = b'{"active":true,"x":"' + b"x" * 10000000 + b'"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode == "half":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        if mode == "trickle":
            for i in range(len(body)):
                self.wfile.write(body[i:i + 1])
                self.wfile.flush()
                time.sleep(1)
            return
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class TokenService:
    def __init__(self, directory, ca, names=("localhost",)):
        self.key_file = os.path.join(directory, "token.key")
        self.kid = "first"
        self.new_key()
        self.mode = "good"
        self.active = {}
        self.seen = []
        self.authorization = "Basic " + base64.b64encode(b"postkeep:s%3Acret").decode()
        cert = tls.make_cert(list(names), ca=ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert.chain, cert.key)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.service = self
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return "https://localhost:%d/%s" % (self.port, path)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def new_key(self, kid=None):
        tls.make_key(self.key_file, "rsa")
        self.kid = kid or self.kid
        text = tls.openssl("rsa", "-in", self.key_file, "-noout", "-modulus").decode()
        self.modulus = bytes.fromhex(text.strip().split("=")[1])

    def keys(self):
        return {"keys": [{"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256",
                          "n": b64url(self.modulus), "e": "AQAB"}]}

    def token(self, header=None, key_file=None, **claims):
        now = int(time.time())
        all_claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300,
                      "scope": "mail.send", **claims}
        text = "%s.%s" % (b64url({"alg": "RS256", "kid": self.kid, "typ": "at+jwt",
                                  **(header or {})}),
                          b64url({k: v for k, v in all_claims.items() if v is not None}))
        signature = tls.openssl("dgst", "-sha256", "-sign", key_file or self.key_file,
                                stdin=text.encode())
        return "%s.%s" % (text, b64url(signature))
