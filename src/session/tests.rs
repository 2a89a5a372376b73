//! Sessions over scripted transports, and over real descriptors.

mod byes;
mod closing;
mod descriptors;
mod driver;
mod faults;
mod holding;
mod kernel;
mod one_direction;
mod one_way;
mod parting;
mod property;
mod receipts;
mod settling;
mod sharing;
mod silence;
mod spread;
mod wire;
