//! The door that every atomic comes through, so that a model checker can stand behind it.

pub(crate) use core::sync::atomic::*;
