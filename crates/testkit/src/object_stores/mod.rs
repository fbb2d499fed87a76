//! Private object stores: real engines on loopback, each in a folder of its own, gone with the test process.

pub mod azurite;
pub mod rgw;
mod sign;
