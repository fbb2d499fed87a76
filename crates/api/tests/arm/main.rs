//! The management plane over HTTP: shapes of answers as Azure's clients read them, and who may do what.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod children;
mod errors;
mod matrix;
mod server;
mod shapes;
