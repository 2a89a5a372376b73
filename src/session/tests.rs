//! Sessions over scripted transports, and over real descriptors.

mod closing;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod descriptors;
mod driver;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod kernel;
mod one_direction;
mod parting;
mod property;
mod wire;
