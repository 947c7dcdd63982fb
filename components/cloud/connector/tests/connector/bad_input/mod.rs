//! Input that nobody should send: it is refused, nothing is stored, and others are served.

mod bare;
mod bodies;
mod flood;
mod mutation;
mod random;
