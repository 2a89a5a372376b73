//! `bench` over paths that lose, spoil, hold up or cut off what goes over them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::bench::{json, measure, parameters, server, stop};
use crate::harness::{Listener, Peer, haul};

/// Takes datagrams at an address, which has nothing else, and has `pass` look at each of some lengths before it goes on;
/// both ways.
pub fn datagrams(
    to: SocketAddr,
    is_looked_at: fn(usize) -> bool,
    pass: impl FnMut(&mut [u8]) -> bool + Send + 'static,
) -> (SocketAddr, Arc<AtomicBool>, Vec<thread::JoinHandle<()>>) {
    let over = Arc::new(AtomicBool::new(false));
    let near = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let at = near.local_addr().unwrap();
    let far = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    far.connect(to).unwrap();
    let client = Arc::new(Mutex::new(None));
    let pass = Arc::new(Mutex::new(pass));
    let threads = [(Arc::clone(&near), Arc::clone(&far), true), (far, near, false)].map(|(from, onto, is_up)| {
        let (over, client, pass) = (Arc::clone(&over), Arc::clone(&client), Arc::clone(&pass));
        from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !over.load(Relaxed) {
                let Ok((length, peer)) = from.recv_from(&mut buffer) else { continue };
                let datagram = &mut buffer[..length];
                if is_looked_at(length) && !pass.lock().unwrap()(datagram) {
                    continue;
                }
                if is_up {
                    *client.lock().unwrap() = Some(peer);
                    let _ = onto.send(datagram);
                } else if let Some(client) = *client.lock().unwrap() {
                    let _ = onto.send_to(datagram, client);
                }
            }
        })
    });
    (at, over, threads.into())
}

/// Measures over such a path.
#[track_caller]
fn over_datagrams(flags: &[&str], pass: impl FnMut(&mut [u8]) -> bool + Send + 'static) -> serde_json::Value {
    over_some_datagrams(flags, |length| length > 100, pass)
}

#[track_caller]
fn over_some_datagrams(
    flags: &[&str],
    is_looked_at: fn(usize) -> bool,
    pass: impl FnMut(&mut [u8]) -> bool + Send + 'static,
) -> serde_json::Value {
    let server = server(&[]);
    let (via, over, threads) = datagrams(server.address(), is_looked_at, pass);
    let ended = measure(&server, &[&["-u", "-J", "--via", &via.to_string()], flags].concat());
    over.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ended.ok();
    stop(server);
    json(&ended)
}

// What is lost never comes: a receiver that waits for so many bytes has to end all the same.
#[test]
fn a_number_of_datagrams_ends_though_some_are_lost() {
    let mut count = 0;
    let told = over_datagrams(&["-R", "-k", "100", "-l", "1000", "-b", "10M"], move |_| {
        count += 1;
        count % 10 != 3
    });
    let received = &told["end"]["sum_received"];
    assert_eq!(received["bytes"].as_u64(), Some(90_000), "{told}");
    assert_eq!(received["lost_packets"].as_u64(), Some(10), "{told}");
}

// The datagram that asks for a stream is lost, and then the answer to the second one: it is measured all the same.
#[test]
fn a_lost_hello_and_a_lost_answer_cost_a_moment() {
    for flags in [&["-R"][..], &[], &["--rr"]] {
        let mut count = 0;
        let told = over_some_datagrams(
            &[&["-t", "0.5"], flags].concat(),
            |length| length == 4,
            move |_| {
                count += 1;
                count == 2 || count > 3
            },
        );
        assert!(told["error"].is_null() && told["end"]["sum"]["packets"].as_u64().is_some(), "{flags:?}: {told}");
    }
}

// Who was let in and has not heard of it knocks again, and is answered again and not let in twice.
#[test]
fn a_second_hello_is_answered_and_is_no_second_stream() {
    let server = server(&[]);
    let mut control = Peer::connect(server.address());
    control.send(&parameters(r#"{"udp":true,"time":5,"parallel":2,"len":1000}"#));
    assert_eq!(control.receive(2), [9, 10]);
    let (hello, answer) = (0x3637_3839_u32.to_ne_bytes(), 0x3938_3736_u32.to_ne_bytes());
    let streams = [(); 2].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.connect(server.address()).unwrap();
        socket
    });
    let mut said = [0; 16];
    for (stream, times) in streams.iter().zip([3, 1]) {
        // the first two together, so that both may come before it is let in
        for together in [2.min(times), times - 2.min(times)] {
            for _ in 0..together {
                stream.send(&hello).unwrap();
            }
            for _ in 0..together {
                let length = stream.recv(&mut said).unwrap();
                assert_eq!(said[..length], answer);
            }
        }
    }
    assert_eq!(control.receive(2), [1, 2]);
    drop(control);
    stop(server);
}

// A request that is lost, or its answer, is counted as that, and the next one is asked.
#[test]
fn requests_in_datagrams_that_are_lost_are_counted() {
    let mut count = 0;
    let told = over_datagrams(&["--rr=200", "-t", "3"], move |_| {
        count += 1;
        count % 10 != 4
    });
    let figures = &told["haul"]["figures"];
    assert!(figures["lost_percent"].as_f64().unwrap() > 0.0, "{told}");
    assert!(figures["transactions_per_second"].as_f64().unwrap() > 0.0, "{told}");
    assert!(told["haul"]["unanswered"].as_u64().unwrap() > 0, "{told}");
}

// A bit that is flipped in a number makes it one that the sender has never come to.
#[test]
fn a_number_beyond_what_was_sent_is_no_loss() {
    for way in [&[][..], &["-R"]] {
        let mut count = 0;
        let told = over_datagrams(&[&["-t", "1", "-l", "1000", "-b", "1M"], way].concat(), move |datagram| {
            count += 1;
            if count == 50 {
                datagram[9] ^= 0x80;
            }
            true
        });
        let lost = told["end"]["sum_received"]["lost_packets"].as_u64().unwrap();
        assert!(lost < 100, "{lost}: {told}");
    }
}

/// A path that lets the round trips through and holds the stream up: it goes on with what `after` leaves of it.
fn holding(
    to: SocketAddr,
    after: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let path = thread::spawn(move || {
        let (mut probe, _) = listener.accept().unwrap();
        let mut answers = TcpStream::connect(to).unwrap();
        let (mut back, mut forth) = (probe.try_clone().unwrap(), answers.try_clone().unwrap());
        let copies = [
            thread::spawn(move || drop((std::io::copy(&mut probe, &mut forth), forth.shutdown(Shutdown::Both)))),
            thread::spawn(move || drop((std::io::copy(&mut answers, &mut back), back.shutdown(Shutdown::Both)))),
        ];
        let (mut near, _) = listener.accept().unwrap();
        let mut far = TcpStream::connect(to).unwrap();
        let mut cookie = [0; 37];
        near.read_exact(&mut cookie).unwrap();
        far.write_all(&cookie).unwrap();
        let mut held = Vec::new();
        near.read_to_end(&mut held).unwrap();
        far.write_all(&after(held)).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let _ = far.read_to_end(&mut Vec::new());
        copies.into_iter().for_each(|copy| copy.join().unwrap());
    });
    (address, path)
}

// The word that everything was sent overtakes what was sent: the receiver waits for it.
#[test]
fn what_is_on_its_way_is_waited_for() {
    let server = server(&[]);
    let (via, path) = holding(server.address(), |held| {
        let (_keep, never) = channel::<()>();
        let _ = never.recv_timeout(Duration::from_millis(700));
        held
    });
    let ended = measure(&server, &["-n", "3M", "-J", "--via", &via.to_string()]);
    ended.ok();
    assert_eq!(json(&ended)["end"]["sum_received"]["bytes"].as_u64(), Some(3 << 20));
    path.join().unwrap();
    stop(server);
}

// Behind the last that came there is no gap: what its sender says it has sent tells of that.
#[test]
fn a_tail_that_is_lost_is_counted() {
    for way in ["-R", "-u"] {
        let mut passed = 0;
        let told = over_datagrams(&["-t", "1", "-l", "1000", "-b", "1M", way], move |_| {
            passed += 1;
            passed <= 20
        });
        let sum = &told["end"]["sum"];
        let count = |key: &str| sum[key].as_u64().unwrap();
        assert_eq!((count("haul_received_packets"), count("packets") - count("lost_packets")), (20, 20), "{sum}");
        assert!(count("lost_packets") > 20, "{sum}");
        // the first is due at once: no more can be sent than was offered
        assert!(sum["haul_offered_packets"].as_u64().is_none_or(|offered| offered >= count("packets")), "{sum}");
    }
}

// iperf3 counts nothing more once it has heard that this was all: of 5 MiB it had read a tenth by then.
#[test]
fn what_iperf3_has_not_read_is_waited_for() {
    const SENT: usize = 300 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let message = |from: &mut TcpStream| {
        let mut length = [0; 4];
        from.read_exact(&mut length).unwrap();
        from.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
    };
    let serving = thread::spawn(move || {
        let (mut control, _) = listener.accept().unwrap();
        control.read_exact(&mut [0; 37]).unwrap();
        control.write_all(&[9]).unwrap();
        message(&mut control);
        control.write_all(&[10]).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 37]).unwrap();
        control.write_all(&[1, 2]).unwrap();
        // less than half of it has room here
        let mut word = [0];
        control.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = control.read(&mut word);
        stream.read_exact(&mut vec![0; SENT]).unwrap();
        control.set_read_timeout(None).unwrap();
        control.read_exact(&mut word).unwrap();
        control.write_all(&[13]).unwrap();
        message(&mut control);
        let told = format!(r#"{{"streams":[{{"id":1,"bytes":{SENT},"end_time":0.5}}]}}"#);
        control.write_all(&[&(told.len() as u32).to_be_bytes()[..], told.as_bytes(), &[14]].concat()).unwrap();
        let _ = control.read(&mut [0]);
        (early.map_err(|error| error.kind()), word)
    });
    haul(["bench", &address, "-n", "300K", "-w", "400K", "-i", "0"]).run().ok();
    let (early, word) = serving.join().unwrap();
    assert_eq!((early, word), (Err(std::io::ErrorKind::WouldBlock), [4]));
}

// Who is in the way is named, and not the server behind it.
#[test]
fn what_fails_on_the_way_is_the_ways() {
    let server = server(&[]);
    let (sink, nowhere) = (Listener::tcp(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for (via, flags) in
        [(sink.endpoint(), &["-t", "1"][..]), (format!("udp:{}", nowhere.local_addr().unwrap()), &["-t", "1", "-u"])]
    {
        let all = [&["--connect-timeout", "300ms", "--via", &via], flags].concat();
        let ended = measure(&server, &all);
        ended.code(3);
        let line = ended.one_error();
        assert!(line.contains(&via) && line.ends_with(": timed out after 300ms"), "{line}");
    }
    let refused = measure(&server, &["-u", "--via", "udp:h:1", "--max-p99", "1s"]);
    refused.code(2);
    assert!(refused.one_error().starts_with("haul: cannot use --max-p99 with -u --via: "), "{}", refused.stderr);
    stop(server);
}

#[test]
fn bytes_that_never_arrive_are_a_failure_with_the_numbers() {
    let server = server(&[]);
    let (via, path) = holding(server.address(), |held| held[..1 << 20].to_vec());
    let ended = measure(&server, &["-n", "3M", "-J", "--via", &via.to_string()]);
    ended.code(1);
    assert!(ended.one_error().ends_with(": only 1048576 of 3145728 bytes have arrived"), "{}", ended.stderr);
    assert_eq!(json(&ended)["end"]["sum_received"]["bytes"].as_u64(), Some(1 << 20));
    path.join().unwrap();
    stop(server);
}
