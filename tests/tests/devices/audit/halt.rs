//! The policy that a device must not go on without a log.

use std::time::Duration;

use anyhow::Result;
use holdfast_qemu::Running;

use super::run;

/// The daemon ends with the exit status that says so; here at once, where the real one waits ten
/// minutes for the connector (`keeper::tests` has that part).
pub(super) fn a_device_that_must_not_go_on_without_a_log_powers_off(
    running: Running,
) -> Result<()> {
    let folder = "/run/systemd/system/holdfast-audit.service.d";
    let own = "[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"exit 77\"\\n";
    run(&running, "policy", &format!("mkdir -p {folder}; printf '{own}' > {folder}/halt.conf"))?;
    run(&running, "reload", "systemctl daemon-reload")?;
    running.console().send_line("systemctl --no-block restart holdfast-audit")?;
    running.wait_off(Duration::from_secs(120))?;
    Ok(())
}
