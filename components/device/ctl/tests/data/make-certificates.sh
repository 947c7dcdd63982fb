#!/bin/sh
# Makes the certificates of this folder anew. Needs OpenSSL 3.
set -eu
cd "$(dirname "$0")"
arc=2.25.329800735698586629295641978511506172918
make() { # name, key options, extension
    printf '[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=device-7\nO=demo\n' >config.tmp
    # shellcheck disable=SC2086
    openssl req -new -config config.tmp $2 -nodes -keyout key.tmp -out request.tmp
    : >index.tmp
    echo 0A0B0C >serial.tmp
    openssl ca -config /dev/stdin -batch -selfsign -keyfile key.tmp -in request.tmp -out "$1" \
        -notext -startdate 20251122082640Z -enddate 20260220082640Z <<EOF
[ca]
default_ca=own
[own]
database=index.tmp
serial=serial.tmp
new_certs_dir=.
default_md=sha256
policy=any
x509_extensions=ext
[any]
commonName=supplied
organizationName=supplied
[ext]
keyUsage=digitalSignature
$3
EOF
    rm -f ./*.tmp ./*.tmp.* 0A0B0C.pem
}
make rsa-attested.pem "-newkey rsa:2048" "certificatePolicies=$arc.4"
make ec-not-attested.pem "-newkey ec -pkeyopt ec_paramgen_curve:P-256" "certificatePolicies=$arc.5"
make rsa-without-policy.pem "-newkey rsa:2048" ""
