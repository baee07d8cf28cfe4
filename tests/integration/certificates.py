# SPDX-License-Identifier: ISC
"""CAs and certificates for a test, made by openssl(1)."""
import os
import subprocess

from harness import check


class Shop:
    """A CA, and what it has signed."""

    def __init__(self, t, name="ca"):
        self.t = t
        self.name = name
        self.key, self.cert = t.path(name + ".key"), t.path(name + ".pem")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN=Test {name}", "-keyout", self.key,
                     "-out", self.cert)

    def openssl(self, *args):
        done = subprocess.run(["openssl", *args], capture_output=True,
                              text=True, check=False, cwd=self.t.dir)
        check(done.returncode == 0,
              f"openssl {args[0]}: {done.stderr.strip()[-500:]}")

    def request(self, name, subject):
        key, request = self.t.path(name + ".key"), self.t.path(name + ".csr")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-subj",
                     f"/CN={subject}", "-keyout", key, "-out", request)
        return key, request

    def sign(self, name, subject="127.0.0.1", alternative="IP:127.0.0.1",
             days="1"):
        """A key and a certificate: their paths."""
        key, request = self.request(name, subject)
        cert = self.t.path(name + ".pem")
        extensions = self.t.write(
            name + ".ext", f"subjectAltName={alternative}\n")
        self.openssl("x509", "-req", "-in", request, "-CA", self.cert,
                     "-CAkey", self.key, "-CAcreateserial", "-days", days,
                     "-extfile", extensions, "-out", cert)
        return key, cert

    def expired(self, name):
        """One whose time is over."""
        key, request = self.request(name, "127.0.0.1")
        cert = self.t.path(name + ".pem")
        place = self.t.path("ca-" + name)
        os.mkdir(place)
        for path, text in (("index", ""), ("serial", "01\n")):
            self.t.write(os.path.join(place, path), text)
        config = self.t.write(name + ".cnf", f"""
[ca]
default_ca = own
[own]
database = {place}/index
serial = {place}/serial
new_certs_dir = {place}
certificate = {self.cert}
private_key = {self.key}
default_md = sha256
policy = any
x509_extensions = ext
[any]
commonName = supplied
[ext]
subjectAltName = IP:127.0.0.1
""")
        self.openssl("ca", "-batch", "-config", config, "-in", request,
                     "-startdate", "20200101000000Z", "-enddate",
                     "20200201000000Z", "-notext", "-out", cert)
        return key, cert
