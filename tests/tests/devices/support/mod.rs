//! What the tests share.

pub mod cloud;
pub mod console;
pub mod foreign_volume;
pub mod gpt;
pub mod recovery;
pub mod report;
pub mod shell;
pub mod stage;
pub mod tools;
pub mod trial;
