//! The bench itself: what the other tests rely on, without a boot.

use holdfast_qemu::LocalCa;
use holdfast_tests::{Bench, CommandFailed, Ports, Workshop};

#[test]
fn a_connector_stopped_and_started_again_knows_its_devices() {
    let workshop = Workshop::from_environment().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("bench");
    assert!(!Bench::is_at(&place));
    let mut bench = Bench::fresh(&workshop, &place, Ports::any().unwrap()).unwrap();
    assert!(Bench::is_at(&place));
    let ports = bench.ports();
    let site = std::fs::read_to_string(bench.site().document()).unwrap();
    assert!(site.contains(&ports.enrol_url()) && site.contains(&ports.device_url()), "{site}");

    let device = bench.make_device("device", "release", "HF-BENCH-1").unwrap();
    let esp = device.disk().esp().unwrap();
    assert_eq!(esp.read("holdfast/site.toml").unwrap(), site.as_bytes());
    let signature = std::fs::read(bench.site().signature()).unwrap();
    assert_eq!(esp.read("holdfast/site.toml.sig").unwrap(), signature);
    esp.close().unwrap();
    let made_by = LocalCa::at(workshop.tpm_maker().folder()).unwrap().certificates();
    assert!(made_by.iter().all(|certificate| certificate.is_file()));

    let published = bench.publish("release").unwrap();
    assert_eq!(published["profile"], "release");
    let registered = bench.register(&device).unwrap();
    assert_eq!(registered["edge_id"], "HF-BENCH-1");
    assert_eq!(registered["ek_sha256"], device.ek().unwrap().ek_sha256);
    let error = bench.register(&device).unwrap_err();
    assert_eq!(error.downcast_ref::<CommandFailed>().unwrap().code, Some(3), "{error}");

    bench.stop_cloud().unwrap();
    let error = bench.cloud().show("HF-BENCH-1").unwrap_err();
    assert_eq!(error.downcast_ref::<CommandFailed>().unwrap().code, Some(4), "{error}");
    bench.start_cloud().unwrap();
    assert_eq!(bench.cloud().state("HF-BENCH-1").unwrap(), "registered");
    bench.cloud().change("suspend", "HF-BENCH-1").unwrap();
    bench.stop_cloud().unwrap();
    drop(bench);

    let bench = Bench::open(&workshop, &place).unwrap();
    assert_eq!(bench.ports(), ports);
    assert_eq!(bench.cloud().state("HF-BENCH-1").unwrap(), "suspended");
    assert!(bench.cloud().events("HF-BENCH-1").is_ok());
    assert_eq!(bench.open_device("device").unwrap().ek().unwrap(), device.ek().unwrap());
}
