//! The platform: the only `unsafe` and the only `cfg(target_os)` of the crate.
//!
//! Every platform file exports the same names; one that cannot do a thing answers `ErrorKind::Unsupported`, and the
//! caller has a plain way. `unix.rs` and `process.rs` are shared. The cargo feature `portable` selects `portable.rs` on Linux too, so
//! that the fallbacks are tested where they are developed. The contract:
//!
//! | name | meaning |
//! |---|---|
//! | `splice(from, to, most)` | moves pages between two descriptors, one of them a pipe, never sleeping in a pipe |
//! | `copy_range(from, to, most)` | has the file system copy between two regular files |
//! | `tee(from, to, most)` | gives what is in one pipe to another as well, never sleeping |
//! | `kernel_pipe(size)` | an own pipe, non-blocking, with the capacity it really got |
//! | `random(bytes)` | fills bytes with what nobody can foresee |
//! | `mask(key, from, to)` | combines as many bytes with a key as wide registers can |
//! | `widen_pipe(fd, size)` | grows a pipe, never shrinks it; the capacity it has then |
//! | `reopen(fd, access)` | a private, non-blocking description of what an inherited descriptor names |
//! | `unsent(fd)` | bytes in a socket's send queue that the peer has not acknowledged |
//! | `send_apart(fd, bytes)` | sends bytes that share no TCP segment with later ones |
//! | `discard(fd, most)` | drops received TCP bytes in the kernel |
//! | `record_length(fd)` | what a buffer must hold for the next record of a socket that keeps them |
//! | `socket(domain, type, protocol)` | a socket, non-blocking and close-on-exec |
//! | `accept(fd)` | one connection of a listener, likewise |
//! | `bind_to_interface`, `set_congestion`, `set_user_timeout` | socket options that not every system has |
//! | `tcp_info(fd)`, `congestion(fd)` | what TCP knows of a connection, and the name of its congestion control |
//! | `memory_file(bytes)`, `send_file(socket, file, …)` | pages of a file to a socket, copied by nobody |
//! | `stay_on(cpu)` | runs on one CPU from now on |
//! | `MULTIPATH` | the protocol number of multipath TCP |
//! | `pidfd(child)` | a descriptor that becomes readable when a child ends |
//! | `close_on_exec_from(n)` | keeps inherited descriptors from a child |
//! | `unnamed_file(directory, mode)` | a file without a name, which goes with its last descriptor |
//! | `give_name(fd, directory, name)` | the name that such a file lacks |
//! | `every_interest()` | what is registered with the poll for every descriptor |
//! | `receive_datagrams`, `send_parcels` | datagrams, as many a call as the system can; joined and segmented by offload |
//! | `TELLS_LENGTHS` | a receive tells how long a datagram is that there is no room for |
//! | `MOST_ARRIVALS`, `MOST_PARCELS`, `MOST_SEGMENTS` | how many that is; 1 where there is no such call |
//! | `join_arrivals(fd)`, `tell_drops(fd)` | what a receive gives besides: joined datagrams, the count of drops |
//! | `drops_so_far(fd)` | that count, asked for |
//! | `tell_destinations(fd)` | to which address of this host a datagram came, so that the answer leaves from there |
//! | `keep_refusals(fd)`, `take_refusal(fd)` | what ICMP messages say of datagrams of an unconnected socket |
//! | `join_group`, `send_groups_by` | multicast groups by the index of an interface |
//! | `hear_own_groups_only(fd)` | keeps the groups of other sockets away |
//! | `never_fragment(fd)` | datagrams in one piece, or an error |
//! | `AUTOBIND` | a Unix socket can be given a free name |
//! | `SPLICE` | zero copy is worth a try |
//! | `LISTENER_HANDS_ON` | an accepted socket has the options of its listener |
//! | `USER_TIMEOUT` | there is a limit for what a TCP peer leaves unacknowledged |
//! | `ROOM_PROVES_CONNECT` | a connecting TCP socket tells of room to write, and of nothing else, only once it is connected |
//! | `SHORT_READ_EMPTIES` | a short read of a TCP socket proves that nothing is left |

#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod datagram_linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod destinations_linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod refusals_linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub use {datagram_linux::*, destinations_linux::tell_destinations, linux::*, refusals_linux::*};

#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod datagram_portable;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub use {datagram_portable::*, portable::*};

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod groups_linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub use groups_linux::*;

#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod groups_portable;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub use groups_portable::*;

mod datagram;
mod measure;
mod process;
mod processor;
#[cfg(test)]
pub(crate) mod testing;
mod unix;
mod wide;
pub use datagram::{Arrival, LocalIp, Manner, Parcel, Peer, Refusal, UnixName};
pub use measure::*;
pub use process::*;
pub use processor::has_aes;
pub use unix::*;
pub use wide::mask;

/// Which way a descriptor is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For writing.
    Write,
}
