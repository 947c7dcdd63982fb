//! What ties this boot's audit log to the TPM: its clock, its count of starts, and a counter that
//! each boot counts up. Put where the keeper of the log takes it from.

use holdfast_audit_log::checkpoint::{BootBinding, TpmClock};
use holdfast_tpm::{Tpm, TpmError};

use crate::{files, places::Places};

/// Boots of this device with this TPM.
const COUNTER: u32 = 0x0180_0F10;
const BINDING: &str = "run/holdfast/boot/binding.json";

/// Makes the binding, once per boot.
pub fn publish(places: &Places) -> Result<(), String> {
    let path = places.at(BINDING);
    if path.exists() {
        return Ok(());
    }
    let binding = Tpm::open(&places.tpm).and_then(|tpm| make(&tpm)).map_err(|e| e.to_string())?;
    let json = serde_json::to_vec(&binding).map_err(|error| error.to_string())?;
    files::publish(&path, &json).map_err(|error| error.to_string())
}

fn make(tpm: &Tpm) -> Result<BootBinding, TpmError> {
    // The counter first: whoever sees a clock sees a counter that is no older.
    let nv_counter = tpm.nv_count(COUNTER)?;
    let clock = tpm.clock()?;
    let clock = TpmClock {
        clock_ms: clock.clock_ms,
        reset_count: clock.reset_count,
        restart_count: clock.restart_count,
        is_safe: clock.is_safe,
    };
    Ok(BootBinding { clock, nv_counter })
}

#[cfg(test)]
mod tests {
    use holdfast_tpm::swtpm::Swtpm;

    use super::*;

    #[test]
    fn each_boot_counts_up_and_is_bound_once() {
        let swtpm = Swtpm::blank().unwrap();
        let mut bindings = Vec::new();
        for _ in 0..2 {
            let root = tempfile::tempdir().unwrap();
            let places = Places::from_options(&[
                format!("--root={}", root.path().display()),
                format!("--tpm={}", swtpm.tcti()),
            ])
            .unwrap();
            std::fs::create_dir_all(root.path().join("run/holdfast/boot")).unwrap();
            let read = || {
                publish(&places).unwrap();
                std::fs::read(root.path().join(BINDING)).unwrap()
            };
            let json = read();
            assert_eq!(read(), json, "twice in one boot");
            bindings.push(serde_json::from_slice::<BootBinding>(&json).unwrap());
        }
        assert_eq!(bindings[1].nv_counter, bindings[0].nv_counter + 1);
        assert!(bindings[1].clock.clock_ms >= bindings[0].clock.clock_ms);
        assert_eq!(bindings[1].clock.reset_count, bindings[0].clock.reset_count);
    }
}
