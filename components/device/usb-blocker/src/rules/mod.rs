//! Where rules and port list are kept: what was changed on this device, else what the image says,
//! and the last one that was good.

mod place;

pub use place::{Kept, Origin, Place};
