//! What scripts rely on: the address of a listener, inherited descriptors, events, statistics, verbose lines.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use serde_json::Value;

use crate::data::{assert_same, bytes};
use crate::harness::{Ending, Input, Listener, Net, Peer, Role, Sink, Way, file_with, haul, open, poll_until, scratch};

// Port 0 is announced on stderr without being asked, in the fixed shape, as the only line.
#[test]
fn port_0_is_announced() {
    let haul = haul(["listen", "127.0.0.1:0"]).spawn();
    let address = haul.address();
    assert_ne!(address.port(), 0);
    drop(Peer::connect(address));
    let haul = haul.wait();
    haul.code(0).no_stdout();
    assert_eq!(haul.stderr, format!("haul: listening on tcp {address}\n"));
}

// -p and -s say where to listen, as in `nc -lvp`.
#[test]
fn the_letters_of_netcat_name_the_listening_port() {
    let haul = haul(["listen", "-l", "-v", "-s", "127.0.0.1", "-p", "0"]).spawn();
    assert_eq!(haul.address().ip().to_string(), "127.0.0.1");
    drop(Peer::connect(haul.address()));
    haul.wait().code(0);
}

// -v prints the address of a Unix listener, too.
#[test]
fn verbose_prints_the_path_of_a_unix_listener() {
    let home = scratch();
    let path = home.path().join("s");
    let haul = haul(["listen".as_ref(), "-v".as_ref(), path.as_os_str()]).spawn();
    haul.stderr_line(&format!("haul: listening on unix {}", path.display()));
    drop(Peer::connect_unix(&path));
    haul.wait().code(0);
}

// --quiet silences the announcement.
#[test]
fn quiet_silences_the_announcement() {
    let home = scratch();
    let file = home.path().join("port");
    let haul = haul(["listen", "--quiet", "--port-file", file.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    let port = poll_until("the port file", || fs::read_to_string(&file).ok()?.trim().parse::<u16>().ok());
    drop(Peer::connect(([127, 0, 0, 1], port).into()));
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stderr, "");
}

// --ready-fd: the address and a newline, then it is closed, so that `cat` of it ends.
#[test]
fn ready_fd_gets_the_address_and_is_closed() {
    let haul = haul(["listen", "--ready-fd", "3", "127.0.0.1:0"]).after("exec 3>&1 1>/dev/null").spawn();
    let ready = String::from_utf8(haul.stdout_end()).unwrap();
    assert_eq!(ready, format!("{}\n", haul.address()));
    drop(Peer::connect(haul.address()));
    haul.wait().ok();
}

// --ready-fd of a Unix listener gets the path.
#[test]
fn ready_fd_gets_the_path_of_a_unix_listener() {
    let home = scratch();
    let path = home.path().join("s");
    let words = ["listen".as_ref(), "--ready-fd".as_ref(), "3".as_ref(), path.as_os_str()];
    let haul = haul(words).after("exec 3>&1 1>/dev/null").spawn();
    let ready = String::from_utf8(haul.stdout_end()).unwrap();
    assert_eq!(ready, format!("{}\n", path.display()));
    drop(Peer::connect_unix(&path));
    haul.wait().ok();
}

// --ready-fd with a descriptor that is not open is an error, not a listener that nobody hears of.
#[test]
fn a_ready_fd_that_is_not_open_is_a_failure() {
    let ended = haul(["listen", "--ready-fd", "77", "127.0.0.1:0"]).run();
    ended.code(2);
    ended.one_error();
}

// --port-file: the port alone, there as a whole from the first moment at which it is there.
#[test]
fn port_file_holds_the_port_alone() {
    let home = scratch();
    let file = home.path().join("port");
    let haul = haul(["listen", "--port-file", file.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    let text = poll_until("the port file", || fs::read_to_string(&file).ok());
    assert_eq!(text.trim_end_matches('\n'), haul.address().port().to_string());
    drop(Peer::connect(haul.address()));
    haul.wait().ok();
    let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "port"), "something else was left behind: {names:?}");
}

// A port file that cannot be written is an error, not a listener that nobody finds.
#[test]
fn a_port_file_that_cannot_be_written_is_a_failure() {
    let home = scratch();
    let file = home.path().join("none/port");
    let ended = haul(["listen", "--port-file", file.to_str().unwrap(), "127.0.0.1:0"]).run();
    ended.code(2);
    ended.one_error();
}

// -v says who connected, and how it ended; nothing of it on stdout.
#[test]
fn verbose_names_both_ends() {
    let haul = haul(["listen", "-v", "127.0.0.1:0"]).spawn();
    let mut peer = Peer::connect(haul.address());
    let port = peer.local_port();
    haul.stderr_line_where(|line| line.contains(&format!("127.0.0.1:{port}")));
    peer.send(b"payload");
    drop(peer);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stdout, b"payload");
    assert!(haul.stderr.lines().all(|line| line.starts_with("haul: ")), "{}", haul.stderr);
}

// The carrier that was chosen is shown by -v, and --splice never is visible in it.
#[test]
fn verbose_shows_how_bytes_move() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let mut told = Vec::new();
    for flags in [&["-vv"][..], &["-vv", "--splice", "never"]] {
        let content = bytes(91, 1 << 20);
        let (haul, mut peer) = way.join_with(flags, |haul| haul.stdin(Input::Bytes(content.clone())));
        assert_same("what was sent", &peer.receive_all().0, &content);
        drop(peer);
        let haul = haul.wait();
        haul.code(0);
        told.push(haul.stderr.contains("splice"));
    }
    assert_eq!(told, [!cfg!(feature = "portable"), false], "splice is named if and only if it is used");
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"))).collect()
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["event"].as_str().unwrap()).collect()
}

// --events writes one object a line, with version and UTC time, in the order in which things happen.
#[test]
fn events_tell_the_story_of_a_connection() {
    let home = scratch();
    let log = home.path().join("log");
    let haul =
        haul(["listen", "--events", log.to_str().unwrap(), "127.0.0.1:0"]).stdin(Input::Bytes(bytes(92, 2000))).spawn();
    let address = haul.address();
    let mut peer = Peer::connect(address);
    let port = peer.local_port();
    peer.send(&bytes(93, 1000));
    peer.finish();
    peer.receive_all();
    haul.wait().ok();
    let objects = objects(&fs::read_to_string(&log).unwrap());
    for object in &objects {
        assert_eq!(object["v"], 1);
        let time = object["time"].as_str().unwrap_or_else(|| panic!("no time in {object}"));
        assert!(time.ends_with('Z') && time.contains('T'), "{time} is not UTC");
    }
    let names = names(&objects);
    assert_eq!(names[..2], ["listening", "accepted"]);
    assert!(names.contains(&"eof"), "{names:?}");
    assert!(!names.contains(&"error"), "{names:?}");
    assert_eq!(objects[0]["address"], address.to_string());
    assert_eq!(objects[1]["peer"], format!("127.0.0.1:{port}"));
    let closed = objects.iter().find(|object| object["event"] == "closed").expect("no closed event");
    assert_eq!((closed["bytes_in"].as_u64(), closed["bytes_out"].as_u64()), (Some(1000), Some(2000)));
    assert!(closed["secs"].as_f64().is_some());
    assert_eq!(closed["reason"], "clean");
}

// --events fd:N goes to a descriptor, and a failure is an event as well as a line.
#[test]
fn events_tell_a_failure() {
    let (_bound, address) = crate::harness::peer::refusing_address();
    let ended = haul(["connect", "--events", "fd:3", &address.to_string()]).after("exec 3>&1").run();
    ended.code(1).one_error();
    let objects = objects(std::str::from_utf8(&ended.stdout).unwrap());
    let error = objects.iter().find(|object| object["event"] == "error").expect("no error event");
    assert!(error["reason"].as_str().unwrap().contains("connection refused"), "{error}");
}

// A reader of events that has gone away does not disturb the transfer; the loss may be told by status 5.
#[test]
fn nobody_reading_the_events_disturbs_no_transfer() {
    let content = bytes(94, 1 << 20);
    let haul = haul(["listen", "--events", "fd:3", "127.0.0.1:0"])
        .after("exec 3>&1 1>/dev/null")
        .stdin(Input::Bytes(content.clone()))
        .stdout(Sink::Held);
    let mut haul = haul.spawn();
    haul.held = None;
    let mut peer = Peer::connect(haul.address());
    peer.finish();
    assert_eq!(peer.receive_all(), (content, Ending::Eof));
    let haul = haul.wait();
    assert!(matches!(haul.status.code(), Some(0 | 5)), "ended with {}", haul.status);
}

// --stats prints one line of totals at the end, on stderr.
fn stats_print_one_line_of_totals(way: Way) {
    let (haul, mut peer) = way.join_with(&["--stats"], |haul| haul.stdin(Input::Bytes(vec![b'o'; 777])));
    peer.send(&[b'i'; 333]);
    peer.finish();
    assert_eq!(peer.receive_all().0.len(), 777);
    let haul = haul.wait();
    haul.code(0);
    assert_eq!(haul.stdout.len(), 333);
    let said = haul.complaints();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("haul: ") && said.contains("333") && said.contains("777"), "{said}");
}
both_ways!(stats_print_one_line_of_totals);

// --explain prints the plan and opens nothing: no listener, no connection, no file.
#[test]
fn explain_opens_nothing() {
    let taken = Listener::tcp();
    let endpoint = taken.endpoint();
    let home = scratch();
    let path = home.path().join("s");
    let port_file = home.path().join("port");
    for words in [
        vec!["listen", "--explain", &endpoint],
        vec!["connect", "--explain", &endpoint],
        vec!["listen", "--explain", "--port-file", port_file.to_str().unwrap(), path.to_str().unwrap()],
        vec!["connect", "--explain", "nonexistent.invalid", "80"],
    ] {
        let ended = haul(&words).run();
        ended.code(0);
        let said = [String::from_utf8_lossy(&ended.stdout).into_owned(), ended.stderr.clone()].concat();
        let last = words.iter().rev().find(|word| word.len() > 2).unwrap();
        assert!(said.contains(last), "the plan does not name {last}: {said}");
    }
    assert!(taken.was_left_alone());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "a file was made");
}

// --wait-free start: a listener is ready as soon as it says so; the line is not early.
#[test]
fn the_announcement_is_not_early() {
    for _ in 0..20 {
        let haul = haul(["listen", "127.0.0.1:0"]).spawn();
        let mut peer = Peer::connect(haul.address());
        assert_eq!(peer.receive_all(), (Vec::new(), Ending::Eof));
        drop(peer);
        haul.wait().ok();
    }
}

// A one-shot listener takes one connection: the port is closed to the second.
#[test]
fn one_shot_closes_its_listening_socket() {
    let mut haul = haul(["listen", "127.0.0.1:0"]).stdin(Input::Piped).spawn();
    let address = haul.address();
    let mut peer = Peer::connect(address);
    haul.say(b"x");
    peer.receive(1);
    poll_until("the port to close", || std::net::TcpStream::connect(address).is_err().then_some(()));
    peer.send(b"still here");
    haul.stdout_reaches(10);
    haul.end_stdin();
    drop(peer);
    haul.wait().ok();
}

// Progress that was not asked for by name is silent where stderr is no terminal.
#[test]
fn progress_is_silent_without_a_terminal() {
    let way = Way { role: Role::Connects, net: Net::Tcp };
    let home = scratch();
    let from = open(&file_with(home.path(), "from", &bytes(97, 100_000)));
    let (haul, mut peer) = way.join_with(&["--progress"], |haul| haul.stdin(Input::Fd(from)));
    assert_eq!(peer.receive_all().0.len(), 100_000);
    drop(peer);
    haul.wait().ok();
}

// A port file is renamed into place; a FIFO is written through, since to rename over it would take it from everybody.
#[test]
fn a_port_file_that_is_a_fifo_is_written_and_stays() {
    let (_home, fifo) = crate::harness::fifo();
    let reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let haul = haul(["listen", "--port-file", fifo.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), haul.address().port().to_string());
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    drop(Peer::connect(haul.address()));
    haul.wait().ok();
}

// Nobody at the other side of the FIFO: an error at once, not a listener that waits unannounced.
#[test]
fn a_port_file_that_nobody_reads_is_a_failure() {
    let (_home, fifo) = crate::harness::fifo();
    let ended = haul(["listen", "--port-file", fifo.to_str().unwrap(), "127.0.0.1:0"]).run();
    ended.code(5);
    assert!(ended.one_error().ends_with(": nobody reads from it"), "{}", ended.stderr);
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
}

// The name of a descriptor (a shell's process substitution is one) means what that descriptor is.
#[test]
fn a_port_file_may_be_the_name_of_a_descriptor() {
    let haul = haul(["listen", "--port-file", "/dev/fd/3", "127.0.0.1:0"]).after("exec 3>&1").spawn();
    let port = haul.address().port().to_string();
    assert_eq!(haul.stdout_reaches(port.len() + 1), format!("{port}\n").into_bytes());
    drop(Peer::connect(haul.address()));
    haul.wait().ok();
}

// What replaces a file is nobody else's to read than that was.
#[test]
fn a_port_file_that_is_written_again_stays_as_private_as_it_was() {
    let home = scratch();
    let file = file_with(home.path(), "port", b"old");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let haul = haul(["listen", "--port-file", file.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    let port = format!("{}\n", haul.address().port());
    assert_eq!(fs::read_to_string(&file).unwrap(), port);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
}

// A symbolic link stays one: its target is what is replaced, or made.
#[test]
fn a_port_file_that_is_a_link_is_written_behind_it() {
    let home = scratch();
    fs::create_dir(home.path().join("run")).unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink("run/port", &link).unwrap();
    let haul = haul(["listen", "--port-file", link.to_str().unwrap(), "127.0.0.1:0"]).spawn();
    assert_eq!(haul.address().port().to_string(), fs::read_to_string(home.path().join("run/port")).unwrap().trim());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    drop(Peer::connect(haul.address()));
    haul.wait().ok();
}

// Events into a FIFO wait for its reader without holding up the connection.
#[test]
fn events_into_a_fifo_wait_for_no_reader() {
    let (_home, fifo) = crate::harness::fifo();
    let haul = haul(["listen", "--events", fifo.to_str().unwrap(), "127.0.0.1:0"]).stdin(Input::Null).spawn();
    let mut peer = Peer::connect(haul.address());
    peer.send(b"through");
    haul.stdout_reaches(7);
    let reader = File::open(&fifo).unwrap();
    peer.finish();
    let told = std::io::read_to_string(reader).unwrap();
    assert!(told.lines().next().unwrap().contains("listening"), "{told}");
    haul.wait().ok();
}

// A number that the parent has not left open is nobody's, although haul opens descriptors of its own by then.
#[test]
fn a_number_that_is_not_inherited_is_never_one_of_haul() {
    for number in 3..10 {
        let fd = format!("fd:{number}");
        for words in [
            &["connect", "-d", &fd][..],
            &["listen", "--ready-fd", &fd[3..], "127.0.0.1:0"],
            &["listen", "--events", &fd, "127.0.0.1:0"],
            &["listen", &format!("fd,listen:{number}")],
        ] {
            let ended = haul(words).run();
            ended.code(2);
            assert!(ended.one_error().ends_with(": bad file descriptor"), "{words:?}: {}", ended.stderr);
        }
    }
}
