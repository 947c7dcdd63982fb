//! D-Bus interfaces, caller authorization and audit emission.
