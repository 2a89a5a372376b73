//! Makes the program start sooner and smaller: links the unwinder into it where the C compiler has that as an archive,
//! looks up functions of libc when they are first called, packs the list of its own addresses, and puts the functions of
//! a short connection side by side.
//!
//! The standard library wants `_Unwind_Backtrace` for the message of a panic, and takes it from libgcc_s.so. Finding,
//! mapping and relocating that library is an eighth of the time of `haul --version`. An archive that stands earlier
//! on the linker's line is taken instead. Where there is none, all is as it would be without this file.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|found| found == value);
    let is_native = env::var("TARGET").ok() == env::var("HOST").ok();
    let is_static = env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|on| on.split(',').any(|one| one == "crt-static"));
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || !is_native || is_static {
        return;
    }
    // Looking up every function of libc at the start, used or not, is a twentieth of the time of a short connection.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,lazy");
    packed();
    side_by_side();
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let Ok(answer) = Command::new(compiler).arg(format!("-print-file-name={ARCHIVE}")).output() else { return };
    // the bare name comes back where the compiler does not have it
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let archive = Path::new(answer.trim());
    if let Some(directory) = archive.parent().filter(|_| archive.is_absolute() && archive.exists()) {
        println!("cargo::rustc-link-search=native={}", directory.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Where the program is loaded is added to ten thousand addresses in it at every start. Their plain list is a quarter of
/// a megabyte to read, a packed one (DT_RELR) 3 KB; reading it is a twentieth of the time of a short connection.
///
/// glibc knows that form since 2.36; with an older one the program would not start, and who builds for one builds there.
fn packed() {
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = version.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
    let numbers = version.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let numbers = numbers.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    if numbers.is_some_and(|numbers| numbers >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Scattered over the program, they would make nearly all of it resident: the kernel maps the pages around each one that
/// is touched. GNU ld and lld know how to insert a section; a linker of the user's choice may not.
fn side_by_side() {
    println!("cargo::rerun-if-changed={ORDER}");
    let chosen = env::var_os("RUSTC_LINKER").is_some()
        || env::var("CARGO_ENCODED_RUSTFLAGS")
            .is_ok_and(|flags| flags.contains("linker") || flags.contains("-fuse-ld"));
    if let (false, Ok(root)) = (chosen, env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-T{}", Path::new(&root).join(ORDER).display());
    }
}

/// Written by `benches/start-order`.
const ORDER: &str = "start.ld";

const ARCHIVE: &str = "libgcc_eh.a";
