#!/usr/bin/env python3
"""Makes the files beside it with a software TPM and tpm2-tools; see README.md.

Binding, evidence and certificate request are put together here by hand, so that the tests compare
the library with a second implementation.
"""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OUT = Path(__file__).resolve().parent
PORT = 24510
PCRS = (7, 11, 12, 14)
AK_ATTRIBUTES = "restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth"
KEY_ATTRIBUTES = "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth"
HANDLES = {"key": 0x81000010, "ak": 0x81000011, "rsassa": 0x81000012, "rsapss": 0x81000013}

BINDING = {
    "secret": hashlib.sha256(b"fixture secret").hexdigest(),
    "nonce": hashlib.sha256(b"fixture nonce").hexdigest(),
    "tls_exporter": hashlib.sha256(b"fixture exporter").hexdigest(),
    "edge_id": "HF-0001",
    "pairing_code": "correct horse",
}
SITE = b"a site configuration\n"


def der(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def oid(text):
    arcs = [int(arc) for arc in text.split(".")]
    out = b""
    for arc in [arcs[0] * 40 + arcs[1], *arcs[2:]]:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        out += bytes(reversed(septets))
    return der(0x06, out)


def integer(value):
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value):
    return der(0x04, value)


def sequence(*parts):
    return der(0x30, *parts)


class Tpm:
    def __init__(self, folder):
        self.folder = folder
        self.env = dict(os.environ, TPM2TOOLS_TCTI=f"swtpm:host=127.0.0.1,port={PORT}")

    def path(self, name):
        return str(self.folder / name)

    def read(self, name):
        return (self.folder / name).read_bytes()

    def run(self, *command):
        result = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: {result.stderr.decode()}")
        subprocess.run(["tpm2_flushcontext", "-t"], env=self.env, check=True, capture_output=True)
        return result.stdout

    def create(self, name, algorithm, attributes, *more):
        self.run("tpm2_create", "-C", "srk.ctx", "-g", "sha256", *algorithm, "-a", attributes,
                 "-u", f"{name}.pub", "-r", f"{name}.priv", *more)
        self.run("tpm2_load", "-C", "srk.ctx", "-u", f"{name}.pub", "-r", f"{name}.priv",
                 "-c", f"{name}.ctx")
        return self.read(f"{name}.pub")[2:]

    def persist(self, name):
        self.run("tpm2_evictcontrol", "-C", "o", "-c", f"{name}.ctx", hex(HANDLES[name]))

    def certify(self, signer, qualifying):
        """TPM2_Certify; tpm2_certify has no option for qualifying data."""
        password = (0x40000009).to_bytes(4, "big") + bytes(5)
        body = b"".join([
            (0x148).to_bytes(4, "big"),
            HANDLES["key"].to_bytes(4, "big"), HANDLES[signer].to_bytes(4, "big"),
            (18).to_bytes(4, "big"), password, password,
            len(qualifying).to_bytes(2, "big"), qualifying, (0x10).to_bytes(2, "big"),
        ])
        command = (0x8002).to_bytes(2, "big") + (len(body) + 6).to_bytes(4, "big") + body
        (self.folder / "command").write_bytes(command)
        self.run("tpm2_send", "-o", "response", "command")
        response = self.read("response")
        code = int.from_bytes(response[6:10], "big")
        if code:
            sys.exit(f"TPM2_Certify: {code:#x}")
        parameters = response[14:14 + int.from_bytes(response[10:14], "big")]
        size = int.from_bytes(parameters[:2], "big")
        return parameters[2:2 + size], parameters[2 + size:]

    def quote(self, name, scheme, qualifying):
        selection = "sha256:" + ",".join(map(str, PCRS))
        self.run("tpm2_quote", "-c", f"{name}.ctx", "-l", selection, "-q", qualifying.hex(),
                 "-m", "quote", "-s", "quote.sig", "-g", "sha256", "--scheme", scheme)
        return self.read("quote"), self.read("quote.sig")


def start(folder):
    state, ca = folder / "state", folder / "ca"
    state.mkdir()
    ca.mkdir()
    (folder / "ca.conf").write_text(
        f"statedir = {ca}\nsigningkey = {ca}/signkey.pem\n"
        f"issuercert = {ca}/issuercert.pem\ncertserial = {ca}/certserial\n")
    (folder / "ca.options").write_text(
        "--platform-manufacturer Holdfast\n--platform-version 1\n--platform-model fixture\n")
    (folder / "setup.conf").write_text(
        f"create_certs_tool = /usr/bin/swtpm_localca\n"
        f"create_certs_tool_config = {folder}/ca.conf\n"
        f"create_certs_tool_options = {folder}/ca.options\n")
    subprocess.run(
        ["swtpm_setup", "--tpm2", "--tpmstate", state, "--config", folder / "setup.conf",
         "--create-ek-cert", "--lock-nvram", "--pcr-banks", "sha256", "--overwrite"],
        check=True, capture_output=True)
    daemon = subprocess.Popen(
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
         "--server", f"type=tcp,port={PORT}", "--ctrl", f"type=tcp,port={PORT + 1}",
         "--flags", "startup-clear,not-need-init"])
    time.sleep(1)
    return daemon


def certificate_to_der(path):
    return subprocess.run(["openssl", "x509", "-in", path, "-outform", "DER"],
                          check=True, capture_output=True).stdout


def qualifying_data(spki_sha256):
    message = b"holdfast-est-v1"
    for field in (bytes.fromhex(BINDING["nonce"]), spki_sha256, BINDING["edge_id"].encode(),
                  bytes.fromhex(BINDING["tls_exporter"]), BINDING["pairing_code"].encode()):
        message += len(field).to_bytes(4, "big") + field
    return hmac.new(bytes.fromhex(BINDING["secret"]), message, hashlib.sha256).digest()


def make(tpm, files):
    tpm.run("tpm2_createprimary", "-C", "o", "-G", "ecc256", "-g", "sha256", "-c", "srk.ctx")
    tpm.run("tpm2_readpublic", "-c", "0x81010001", "-o", "ek.pub")
    files["ek-rsa2048.tpmt-public"] = tpm.read("ek.pub")[2:]
    tpm.run("tpm2_nvread", "0x01c00002", "-C", "o", "-o", "ek.der")
    files["ek-certificate.nv"] = tpm.read("ek.der")
    files["ek-intermediate.der"] = certificate_to_der(tpm.path("ca/issuercert.pem"))
    files["ek-root.der"] = certificate_to_der(tpm.path("ca/swtpm-localca-rootca-cert.pem"))

    files["ak-p256.tpmt-public"] = tpm.create(
        "ak", ["-G", "ecc256:ecdsa-sha256:null"], AK_ATTRIBUTES)
    key = files["device-key-rsa2048.tpmt-public"] = tpm.create(
        "key", ["-G", "rsa2048:null:null"], KEY_ATTRIBUTES)
    tpm.persist("ak")
    tpm.persist("key")
    for scheme in ("rsassa", "rsapss"):
        files[f"ak-{scheme}.tpmt-public"] = tpm.create(
            scheme, ["-G", f"rsa2048:{scheme}-sha256:null"], AK_ATTRIBUTES)
        tpm.persist(scheme)
    (tpm.folder / "data").write_bytes(b"sealed")
    files["sealed.tpmt-public"] = tpm.create(
        "sealed", [], "fixedtpm|fixedparent|userwithauth", "-i", "data")
    files["hmac-key.tpmt-public"] = tpm.create("hmac", ["-G", "hmac"], KEY_ATTRIBUTES)

    for pcr, measured in ((7, b"secure boot"), (11, b"kernel"), (14, SITE)):
        tpm.run("tpm2_pcrextend", f"{pcr}:sha256={hashlib.sha256(measured).hexdigest()}")
    tpm.run("tpm2_pcrread", "sha256:" + ",".join(map(str, PCRS)), "-o", "pcrs")
    pcrs = files["pcr-values"] = tpm.read("pcrs")

    tpm.run("tpm2_readpublic", "-c", hex(HANDLES["key"]), "-f", "der", "-o", "key.spki")
    spki = files["device-key-rsa2048.spki.der"] = tpm.read("key.spki")
    tpm.run("tpm2_readpublic", "-c", hex(HANDLES["ak"]), "-f", "der", "-o", "ak.spki")
    files["ak-p256.spki.der"] = tpm.read("ak.spki")
    tpm.run("tpm2_readpublic", "-c", hex(HANDLES["ak"]), "-n", "ak.name")
    files["ak-p256.name"] = tpm.read("ak.name")

    q = qualifying_data(hashlib.sha256(spki).digest())
    certify = tpm.certify("ak", q)
    files["certify.tpms-attest"], files["certify.tpmt-signature"] = certify
    quote = tpm.quote("ak", "ecdsa", q)
    files["quote.tpms-attest"], files["quote.tpmt-signature"] = quote
    for scheme in ("rsassa", "rsapss"):
        for statement, (attest, signature) in (
            ("certify", tpm.certify(scheme, q)),
            ("quote", tpm.quote(scheme, scheme, q)),
        ):
            files[f"{statement}-{scheme}.tpms-attest"] = attest
            files[f"{statement}-{scheme}.tpmt-signature"] = signature

    values = [sequence(integer(pcr), octets(pcrs[32 * i:32 * i + 32]))
              for i, pcr in enumerate(PCRS)]
    bundle = sequence(sequence(
        sequence(oid("2.23.133.20.1"), sequence(*map(octets, (*certify, key)))),
        sequence(oid("2.25.329800735698586629295641978511506172918.3"),
                 sequence(*map(octets, quote), sequence(*values))),
    ))
    files["evidence.der"] = bundle
    attribute = sequence(oid("1.2.840.113549.1.9.16.2.59"), der(0x31, bundle))
    name = sequence(der(0x31, sequence(oid("2.5.4.5"), der(0x13, b"HF-0001"))))
    info = sequence(integer(0), name, spki, der(0xA0, attribute))
    for scheme, algorithm in (
        ("rsassa", sequence(oid("1.2.840.113549.1.1.11"), b"\x05\x00")),
        ("rsapss", sequence(oid("1.2.840.113549.1.1.10"), pss_parameters())),
    ):
        (tpm.folder / "info").write_bytes(info)
        tpm.run("tpm2_sign", "-c", hex(HANDLES["key"]), "-g", "sha256", "-s", scheme,
                "-f", "plain", "-o", "info.sig", "info")
        files[f"csr-{scheme}.der"] = sequence(
            info, algorithm, der(0x03, b"\x00" + tpm.read("info.sig")))
    files["binding.json"] = (json.dumps(BINDING, indent=2) + "\n").encode()
    files["site.toml"] = SITE


def pss_parameters():
    sha256 = sequence(oid("2.16.840.1.101.3.4.2.1"), b"\x05\x00")
    mgf1 = sequence(oid("1.2.840.113549.1.1.8"), sha256)
    return sequence(der(0xA0, sha256), der(0xA1, mgf1), der(0xA2, integer(32)))


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        daemon = start(folder)
        files = {}
        try:
            make(Tpm(folder), files)
        finally:
            daemon.terminate()
            daemon.wait()
    for name, contents in files.items():
        (OUT / name).write_bytes(contents)


main()
