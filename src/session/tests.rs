//! Sessions over scripted transports, and over real descriptors.

mod closing;
mod driver;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod kernel;
mod one_direction;
mod property;
mod wire;
