#!/usr/bin/env python3
"""Stores for tests, on 127.0.0.1: store_server.py s3 LOG serves the buckets of moto;
store_server.py http LOG DIR serves the files of a directory, with ranges. The first line of its output is the port. LOG gets a line for
each request: method, path, range, status, and the bytes of the answer's body, with tabs between them."""
import http.server
import logging
import os
import re
import sys
import urllib.parse


def s3(log):
    try:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server
    except ImportError as error:
        print(f"lacks moto: {error}")
        sys.exit(77)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)

    def counted(environ, start_response):
        answer = {}

        def start(status, headers, exc=None):
            answer["status"] = status.split()[0]
            answer["bytes"] = next((value for name, value in headers if name.lower() == "content-length"), "0")
            return start_response(status, headers, exc)

        body = app(environ, start)
        query = environ["QUERY_STRING"]
        path = environ["PATH_INFO"] + ("?" + query if query else "")
        size = "0" if environ["REQUEST_METHOD"] == "HEAD" else answer["bytes"]
        note(log, environ["REQUEST_METHOD"], path, environ.get("HTTP_RANGE", "-"), answer["status"], size)
        return body

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


def note(log, *words):
    log.write("\t".join(str(word) for word in words) + "\n")


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = urllib.parse.unquote(self.path).lstrip("/")
        span = self.headers.get("Range", "-")
        try:
            with open(os.path.join(self.server.root, name), "rb") as file:
                content = file.read()
        except OSError:
            return self.answer(404, b"", span, {})
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", span)
        if not asked:
            return self.answer(200, content, span, {})
        first, last = asked.groups()
        start = int(first) if first else max(len(content) - int(last), 0)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        head = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        return self.answer(206, content[start:end], span, head)

    def answer(self, status, body, span, head):
        self.send_response(status)
        for name, value in {**head, "Content-Length": len(body)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        note(self.server.log, self.command, self.path, span, status, len(body))

    def log_message(self, *_):
        pass


def files(log, root):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.log, server.root = log, root
    print(server.server_port, flush=True)
    server.serve_forever()


def main():
    kind, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)
    if kind == "s3":
        s3(log)
    else:
        files(log, sys.argv[3])


main()
