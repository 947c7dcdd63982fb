//! Recovery keys in the cloud.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holdfast_tests::Client;
use serde_json::Value;

use super::console::BOOT;

/// Waits until the cloud has the recovery keys that `wanted` asks for.
pub fn wait_handed_over(
    cloud: &Client,
    device: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let begun = Instant::now();
    loop {
        let keys = cloud.recovery_keys(device)?;
        if wanted(&keys) {
            return Ok(keys);
        }
        ensure!(begun.elapsed() < BOOT, "the cloud has other recovery keys: {keys:?}");
        thread::sleep(Duration::from_millis(500));
    }
}
