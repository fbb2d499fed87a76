//! What the database promises, tried on both engines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod crash;
mod encryption;
mod failover;
mod faults;
mod follow;
mod isolation;
mod migrations;
mod place;
mod postgres_only;
mod queueing;
mod sqlite_only;
mod transactions;
mod values;

/// Makes a test for each engine of each function, which gets a [`place::Place`] for its database.
macro_rules! both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&crate::place::Place::sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(place) = crate::place::Place::postgres() {
                    super::$name(&place);
                }
            })*
        }
    };
}
pub(crate) use both_engines;
