//! Who the devices are, what state they are in, and who may have a certificate. No I/O.

mod admission;
mod alert;
mod boot;
mod device;
mod event;
mod group;
mod names;
mod revocation;
mod standing;
mod state;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Claim, Denial, admit};
pub use alert::Alert;
pub use boot::{
    BootId, BootIdError, BootReport, Firmware, Printable, PrintableError, StoredBootReport,
    TpmVersion,
};
pub use device::{
    Approval, Binding, CertificateRecord, Device, DeviceRef, EnrolmentRecord, NewDevice, ProvenTpm,
    QuoteMode, RegistrationSecret, WordError,
};
pub use event::{Event, NewEvent, Severity};
pub use group::{Group, GroupName, GroupNameError, NewGroup};
pub use names::{Digest, DigestError, Tenant, TenantError};
pub use revocation::{CertificateStanding, Revocation, RevocationReason};
pub use standing::{NotInForce, Renewal, admit_renewal, in_force};
pub use state::{Change, DeviceState, TransitionError};
