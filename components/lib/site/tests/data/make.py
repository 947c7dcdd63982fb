#!/usr/bin/env python3
"""Makes the files beside it with openssl: a valid configuration, its signature, and one file per fault."""

import subprocess
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parent
CA = "basicConstraints=critical,CA:TRUE"

VALID = """format = 1
tenant = "demo"

[edge_id]
source = "dmi-serial"

[connector]
enrol_url = "https://10.0.2.2:8443"
device_url = "https://10.0.2.2:8444"

[trust]
anchors = [\"\"\"
{root}\"\"\"]

[recovery]
public_key = \"\"\"
{recovery}\"\"\"
"""


def openssl(*arguments, folder, input=None):
    return subprocess.run(["openssl", *arguments], cwd=folder, input=input, check=True,
                          capture_output=True).stdout


def key(folder, name, *options):
    openssl("genpkey", *options, "-out", name, folder=folder)
    return openssl("pkey", "-in", name, "-pubout", folder=folder).decode()


def certificate(folder, signer, *extensions):
    options = [option for extension in extensions for option in ("-addext", extension)]
    # An own configuration, because the default one makes every certificate a CA.
    (folder / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
    return openssl("req", "-x509", "-config", "openssl.cnf", "-key", signer, "-days", "36500",
                   "-subj", "/CN=Holdfast test root", *options, folder=folder).decode()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        p256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        site_key = key(folder, "site", *p256)
        other_key = key(folder, "other", *p256)
        p384_key = key(folder, "p384", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
        recovery = key(folder, "recovery", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        ed25519 = key(folder, "ed25519", "-algorithm", "ED25519")
        root = certificate(folder, "other", CA, "keyUsage=critical,keyCertSign,cRLSign")
        leaf = certificate(folder, "other", "basicConstraints=critical,CA:FALSE")
        plain = certificate(folder, "other")
        no_cert_sign = certificate(folder, "other", CA, "keyUsage=critical,digitalSignature")

        valid = VALID.format(root=root, recovery=recovery)
        (folder / "site.toml").write_text(valid)
        signature = openssl("dgst", "-sha256", "-sign", "site", "site.toml", folder=folder)

    def fault(name, old, new):
        assert valid.count(old) >= 1, name
        files[f"{name}.toml"] = valid.replace(old, new, 1)

    files = {
        "valid.toml": valid,
        "site-key.pem": site_key,
        "other-key.pem": other_key,
        "p384-key.pem": p384_key,
        "not-toml.toml": "format = \n",
        "empty.toml": "",
    }
    fault("format-of-tomorrow", "format = 1", "format = 2")
    fault("format-is-text", "format = 1", 'format = "1"')
    fault("unknown-key", 'tenant = "demo"', 'tenant = "demo"\ntennant = "demo"')
    fault("unknown-key-in-table", "[connector]", "[connector]\nenroll_url = 1")
    fault("unknown-table", "[edge_id]", "[web]\n[edge_id]")
    fault("key-twice", 'tenant = "demo"', 'tenant = "demo"\ntenant = "demo"')
    fault("missing-tenant", 'tenant = "demo"\n', "")
    fault("missing-device-url", 'device_url = "https://10.0.2.2:8444"\n', "")
    fault("tenant-empty", '"demo"', '""')
    fault("tenant-upper-case", '"demo"', '"Demo"')
    fault("tenant-with-slash", '"demo"', '"a/b"')
    fault("source-unknown", '"dmi-serial"', '"dmi"')
    fault("source-mac-without-interface", '"dmi-serial"', '"mac:"')
    fault("source-mac-with-slash", '"dmi-serial"', '"mac:../eth0"')
    fault("source-mac-too-long", '"dmi-serial"', '"mac:a234567890123456"')
    fault("source-fixed-placeholder", '"dmi-serial"', '"fixed:Default string"')
    fault("enrol-url-http", "https://10.0.2.2:8443", "http://10.0.2.2:8443")
    fault("enrol-url-path", "https://10.0.2.2:8443", "https://10.0.2.2:8443/est")
    fault("enrol-url-user", "https://10.0.2.2:8443", "https://me@10.0.2.2:8443")
    fault("enrol-url-port-zero", "https://10.0.2.2:8443", "https://10.0.2.2:0")
    fault("enrol-url-port-large", "https://10.0.2.2:8443", "https://10.0.2.2:65536")
    fault("enrol-url-bad-address", "https://10.0.2.2:8443", "https://10.0.2.256:8443")
    fault("device-url-empty-host", "https://10.0.2.2:8444", "https://:8444")
    fault("device-url-bad-ipv6", "https://10.0.2.2:8444", "https://[fe80::1::2]:8444")
    files["anchors-empty.toml"] = (
        valid[:valid.index("anchors")] + "anchors = []\n" + valid[valid.index("\n[recovery]"):])
    fault("anchor-is-no-ca", root, leaf)
    fault("anchor-without-constraints", root, plain)
    fault("anchor-may-not-sign-certificates", root, no_cert_sign)
    fault("anchor-is-a-key", root, recovery)
    fault("anchor-twice-in-one-text", root, root + root)
    fault("anchor-with-text-before", root, "my root\n" + root)
    fault("anchor-cut-off", root, root[:len(root) // 2])
    fault("anchor-is-no-pem", root, "root\n")
    fault("recovery-key-ed25519", recovery, ed25519)
    fault("recovery-key-is-certificate", recovery, root)
    files["valid-without-recovery.toml"] = valid[:valid.index("[recovery]")]
    for name, text in files.items():
        (OUT / name).write_text(text)
    (OUT / "valid.toml.sig").write_bytes(signature)


main()
