//! Sessions over scripted transports, and over real descriptors.

mod closing;
mod descriptors;
mod driver;
mod kernel;
mod one_direction;
mod parting;
mod property;
mod receipts;
mod wire;
