//! The files of an enrolled device in the hands of foreign programs.

use std::path::Path;
use std::process::Command;

use crate::cloud::Cloud;
use crate::device::Device;

/// What OpenSSL printed; it must succeed.
fn openssl(folder: &Path, tcti: &str, arguments: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("TPM2OPENSSL_TCTI", tcti)
        .env("TSS2_LOG", "all+NONE")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_tpm2_tools_use_the_device_key_file_of_both_signature_modes() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    for (serial, mode) in [("SN-0040", "tpm-pss"), ("SN-0041", "software-pss")] {
        let mut device = Device::new(serial, &site);
        device.arguments = ["--signature-mode", mode].map(str::to_owned).to_vec();
        let daemon = device.start();
        let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
        daemon.wait_for("refused");
        cloud.operate(&["device", "register", serial, "--ek-sha256", &ek]).await;
        daemon.wait_for("active");
        daemon.stop();

        let run = |arguments: &str| openssl(&device.state(), &device.tpm.tcti(), arguments);
        run("req -new -provider tpm2 -provider default -propquery ?provider=tpm2 -key device.tss \
             -sha256 -subj /CN=device -out request.pem");
        run("req -in request.pem -verify -noout");
        // The key of the request, of the certificate and of the public half are one.
        let asked = run("req -in request.pem -noout -pubkey");
        assert_eq!(asked, run("x509 -in device.crt -noout -pubkey"), "{mode}");
        assert_eq!(asked, run("pkey -pubin -in device.pub -pubout"), "{mode}");
        let print = Command::new("tpm2")
            .args(["print", "-t", "TSSPRIVKEY_OBJ", "-f", "pem", "device.tss"])
            .current_dir(device.state())
            .env("TPM2TOOLS_TCTI", "none")
            .output()
            .unwrap();
        assert_eq!(print.stdout, asked, "{}", String::from_utf8_lossy(&print.stderr));
        // Another TPM has no use for the file.
        let thief = holdfast_tpm::swtpm::Swtpm::blank().unwrap();
        let stolen = Command::new("openssl")
            .args(["pkey", "-provider", "tpm2", "-provider", "default", "-in", "device.tss"])
            .args(["-noout"])
            .current_dir(device.state())
            .env("TPM2OPENSSL_TCTI", thief.tcti())
            .output()
            .unwrap();
        assert!(!stolen.status.success(), "{mode}");
    }
}
