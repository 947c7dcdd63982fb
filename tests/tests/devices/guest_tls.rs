//! A foreign program on the device speaks mutual TLS with the device's key, inside the TPM.

use anyhow::{Result, ensure};
use holdfast_qemu::PowerOn;
use holdfast_tests::{Bench, Ports};

use crate::support::console::{wait_active, wait_for};
use crate::support::stage::DEVICE;
use crate::support::trial::{Outcome, trial};

const SERIAL: &str = "HF-E2E-0008";

/// Asks the connector who this is, as the one user whom the packet filter lets out, and prints the
/// answer's end in one line.
const ASK: &str = r#"cd /run; sed -n '/BEGIN CERT/,/END CERT/p' holdfast/site/site.toml > ca.pem; printf 'GET /api/v1/device/self HTTP/1.1\r\nHost: connector\r\nConnection: close\r\n\r\n' > ask; to=$(sed -n 's/^device_url = "https:..\(.*\)"/\1/p' holdfast/site/site.toml); me=/var/lib/holdfast/enroller/device; setpriv --reuid=holdfast-enroll --regid=holdfast-enroll --groups=tss env TPM2OPENSSL_TCTI=device:/dev/tpmrm0 openssl s_client -quiet -tls1_3 -connect "$to" -provider tpm2 -provider default -propquery '?provider=default' -cert $me.crt -cert_chain $me.crt -key $me.tss -CAfile ca.pem -verify_return_error < ask > answer 2>&1; echo "guest-""tls: $(tail -c 600 answer | tr -d '\r\n')""#;

#[test]
fn tpm2_openssl_speaks_mutual_tls_with_the_devices_key() -> Outcome {
    trial("tpm2_openssl_speaks_mutual_tls_with_the_devices_key", |trial| {
        let bench = Bench::fresh(&trial.workshop, &trial.folder, Ports::any()?)?;
        bench.publish("test")?;
        let device = bench.make_device(DEVICE, "test", SERIAL)?;
        bench.register(&device)?;
        let running = device.power_on(PowerOn::default())?;
        let active = wait_active(&running)?;
        let key = "grep -c 'TSS2 PRIVATE KEY' /var/lib/holdfast/enroller/device.tss; ";
        running.console().send_line(&format!("{key}{ASK}"))?;
        let answer = wait_for(&running, "guest-tls: ")?;
        check(&answer, &active.device_id)
    })
}

fn check(answer: &str, device_id: &str) -> Result<()> {
    for part in [device_id, SERIAL, r#""state":"active""#] {
        ensure!(answer.contains(part), "the connector answered without {part}: {answer}");
    }
    Ok(())
}
