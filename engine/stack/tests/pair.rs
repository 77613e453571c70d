//! Two shards and what connections between them go through.
#![allow(missing_docs)]

mod common;

use byway_stack::context::ConnectError;
use byway_stack::mailbox::Notice;
use byway_tcp::effects::{CloseReason, DropReason};
use byway_tcp::time::Duration;
use byway_wire::{Address, Endpoint};
use common::{CLIENT, Event, PORT, SERVER, World, path, pattern};
use std::cell::RefCell;
use std::rc::Rc;

const ENDPOINT: Endpoint = Endpoint::new(SERVER, PORT);

#[test]
fn bytes_come_back_and_an_idle_connection_holds_nothing() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    let sent = pattern(5000);
    let bytes = sent.clone();
    world
        .client_probe
        .on(id, move |conn| assert_eq!(conn.send(&bytes), 5000));
    world.settle();
    assert_eq!(world.server_probe.received(peer), sent);
    assert_eq!(world.client_probe.received(id), sent);
    world.pass(Duration::from_secs(1));
    for end in [&world.client, &world.server] {
        assert_eq!(end.blocks_in_use(), (0, 0));
        assert_eq!(end.tcp_records_in_use(), (0, 0));
        assert_eq!((end.connections(), end.half_open()), (1, 0));
    }
    assert_eq!(world.client.tcp_counters().retrans_segs, 0);
}

#[test]
fn a_cork_holds_back_what_fills_no_segment() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.client_probe.on(id, |conn| {
        conn.set_cork(true);
        assert_eq!(conn.send(b"a part"), 6);
    });
    world.settle();
    assert_eq!(world.server_probe.received(peer), b"");
    world.client_probe.on(id, |conn| conn.set_cork(false));
    world.settle();
    assert_eq!(world.server_probe.received(peer), b"a part");
}

#[test]
fn nagle_and_the_congestion_algorithm_are_the_services_to_choose() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.delay(Duration::from_millis(5));
    world.client_probe.on(id, |conn| {
        conn.set_nagle(true);
        conn.set_congestion(byway_tcp::CongestionAlgorithm::Reno);
        assert_eq!(conn.send(b"first"), 5);
    });
    world.pass(Duration::from_millis(1));
    let before = world.client.tcp_counters().out_segs;
    world
        .client_probe
        .on(id, |conn| assert_eq!(conn.send(b"second"), 6));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.client.tcp_counters().out_segs, before, "it waits");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.server_probe.received(peer), b"firstsecond");
}

#[test]
fn keep_alive_asks_a_silent_peer() {
    let mut world = World::new();
    let (id, _) = world.connect();
    world.client_probe.on(id, |conn| conn.set_keep_alive(true));
    world.settle();
    world.pass(Duration::from_secs(2 * 3600 + 60));
    assert_eq!(world.client.tcp_counters().keep_alives, 1);
    assert_eq!(world.client.connections(), 1, "the peer answered");
}

/// Segments cross from block to block after even and odd numbers of octets.
#[test]
fn a_segment_may_begin_anywhere_in_a_block() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.delay(Duration::from_millis(5));
    let mut sent = Vec::new();
    for len in [1, 5000, 3, 2047, 777, 4096, 1, 3001] {
        let bytes = pattern(sent.len() + len)[sent.len()..].to_vec();
        sent.extend_from_slice(&bytes);
        world
            .client_probe
            .on(id, move |conn| assert_eq!(conn.send(&bytes), bytes.len()));
        world.settle();
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.server_probe.received(peer), sent);
    assert_eq!(world.client_probe.received(id), sent);
    for end in [&world.client, &world.server] {
        let counters = end.tcp_counters();
        // A tail probe may leave, because the path is slower now than when it was measured.
        assert_eq!((counters.in_csum_errors, counters.timeouts), (0, 0));
    }
}

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    let mut world = World::new();
    world.server_probe.0.borrow_mut().close_back = false;
    let (id, peer) = world.connect();
    world.client_probe.on(id, |conn| {
        conn.send(b"last words");
        conn.shutdown();
        assert_eq!(conn.send(b"more"), 0);
    });
    world.settle();
    assert!(
        world
            .server_probe
            .events()
            .contains(&Event::PeerClosed(peer))
    );
    assert_eq!(world.client_probe.received(id), b"last words");
    world.server_probe.on(peer, |conn| {
        conn.send(b"and another thing");
        conn.shutdown();
    });
    world.settle();
    assert_eq!(
        world.client_probe.received(id),
        b"last wordsand another thing"
    );
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Finished));
    assert_eq!(world.server_probe.closed(peer), Some(CloseReason::Finished));
    assert_eq!(
        (world.client.time_waits(), world.server.time_waits()),
        (1, 0)
    );
    world.pass(Duration::from_secs(61));
    assert_eq!(world.client.time_waits(), 0);
}

#[test]
fn both_sides_close_at_once() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.delay(Duration::from_millis(5));
    world.client_probe.on(id, |conn| conn.close());
    world.server_probe.on(peer, |conn| conn.close());
    world.pass(Duration::from_millis(100));
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Finished));
    assert_eq!(world.server_probe.closed(peer), Some(CloseReason::Finished));
    assert_eq!(
        (world.client.time_waits(), world.server.time_waits()),
        (1, 1)
    );
}

#[test]
fn closing_inside_on_data_is_no_reset_when_the_data_was_taken() {
    struct OneShot;
    impl byway_stack::Service for OneShot {
        fn on_data(&mut self, conn: &mut byway_stack::Context<'_>, data: &[u8]) -> usize {
            conn.send(b"answer");
            conn.close();
            data.len()
        }
    }
    let mut world = World::new();
    let service = world.server.add_service(Box::new(OneShot));
    assert!(world.server.listen(Endpoint::new(SERVER, 80), service));
    let id = world.start_connect(Endpoint::new(SERVER, 80));
    world.settle();
    world
        .client_probe
        .on(id, |conn| assert_eq!(conn.send(b"question"), 8));
    world.settle();
    assert_eq!(world.client_probe.received(id), b"answer");
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Finished));
    assert_eq!(world.server.tcp_counters().out_rsts, 0);
    assert_eq!(
        (world.server.connections(), world.server.time_waits()),
        (0, 1)
    );
}

#[test]
fn nobody_listens_and_nobody_there() {
    let mut world = World::new();
    let id = world.start_connect(Endpoint::new(SERVER, 9));
    world.settle();
    assert_eq!(
        world.client_probe.events(),
        [Event::Closed(id, CloseReason::Refused)]
    );
    assert_eq!(world.server.tcp_counters().out_rsts, 1);
    assert_eq!(world.client.connections(), 0);

    // An address on the same wire that is not the server's: not a word, not even a reset.
    let stranger = Address::v4([10, 0, 0, 77]);
    let route = common::path(stranger, CLIENT, common::CLIENT_MAC, common::SERVER_MAC);
    world.client.mailbox().send(route).unwrap();
    world.settle();
    let id = world.start_connect(Endpoint::new(stranger, PORT));
    world.pass(Duration::from_secs(200));
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::TimedOut));
    assert_eq!(world.server.tcp_counters().out_rsts, 1);
    assert!(world.server.counters().not_our_address >= 7);
}

#[test]
fn an_abort_resets_the_peer() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.client_probe.on(id, |conn| conn.abort());
    world.settle();
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Aborted));
    assert_eq!(world.server_probe.closed(peer), Some(CloseReason::Reset));
    assert_eq!(
        (world.client.connections(), world.server.connections()),
        (0, 0)
    );
    assert_eq!(
        (world.client.time_waits(), world.server.time_waits()),
        (0, 0)
    );
}

#[test]
fn a_full_syn_queue_without_cookies_drops_and_the_peers_try_again() {
    let mut world = World::with(
        |_| {},
        |server| {
            server.limits.syn_queue = 2;
            server.tcp.syn_cookies = false;
        },
    );
    let ids: Vec<_> = (0..4).map(|_| world.start_connect(ENDPOINT)).collect();
    world.server.turn();
    assert_eq!(
        (
            world.server.half_open(),
            world.server.counters().syn_queue_full
        ),
        (2, 2)
    );
    assert_eq!(
        world
            .server
            .tcp_counters()
            .dropped_for(DropReason::SynQueueFull),
        2
    );
    world.pass(Duration::from_secs(5));
    assert_eq!(world.client_probe.opened().len(), ids.len());
    assert_eq!(world.server.half_open(), 0);
}

/// The two that the queue holds, and the two beyond it, all open at once; those beyond it take
/// nothing until their peer answers.
//= rfc4987 3.6 S3.6-1
//= rfc4987 3.7 S3.7-1
#[test]
fn beyond_a_full_syn_queue_cookies_open_connections() {
    let mut world = World::with(|_| {}, |server| server.limits.syn_queue = 2);
    let ids: Vec<_> = (0..4).map(|_| world.start_connect(ENDPOINT)).collect();
    world.server.turn();
    let cookies = |world: &World| world.server.counters().syn_queue_cookies;
    assert_eq!((world.server.half_open(), cookies(&world)), (2, 2));
    assert_eq!(world.server.connections(), 0);
    world.settle();
    assert_eq!(world.client_probe.opened(), ids);
    assert_eq!(
        (world.server.connections(), world.server.half_open()),
        (4, 0)
    );
    let tcp = world.server.tcp_counters();
    assert_eq!(tcp.dropped_for(DropReason::SynQueueFull), 0);
    assert_eq!(
        (
            tcp.syn_cookies_sent,
            tcp.syn_cookies_received,
            tcp.syn_cookies_failed
        ),
        (2, 2, 0)
    );
    for id in &ids {
        world.client_probe.on(*id, |conn| {
            assert_eq!(conn.send(&pattern(50_000)), 50_000);
        });
    }
    world.settle();
    for id in &ids {
        assert_eq!(world.client_probe.received(*id), pattern(50_000));
    }
}

/// A queue of no places: every connection is made of a cookie, with or without timestamps, by
/// either family's MSS; nobody is kept waiting in a handshake.
#[test]
fn a_listener_without_a_queue_lives_on_cookies() {
    for timestamps in [true, false] {
        let mut world = World::with(
            |client| client.tcp.timestamps = timestamps,
            |server| server.limits.syn_queue = 0,
        );
        let (here, there) = world.connect();
        assert_eq!(world.server.half_open(), 0);
        let window = move |conn: &mut byway_stack::Context<'_>| {
            let info = conn.info().expect("it is there");
            // Without scaling the peer's window is at most what 16 bits say.
            assert_eq!(info.snd_wnd > 0xffff, timestamps);
            assert_eq!(info.mss, if timestamps { 1448 } else { 1460 });
        };
        world.client_probe.on(here, |conn| {
            conn.send(&pattern(3000));
        });
        world.settle();
        world.server_probe.on(there, window);
        world.settle();
        assert_eq!(world.server_probe.received(there), pattern(3000));
    }
}

/// When the table of connections is full as well, the answer to a cookie is refused as the end of
/// any handshake would be.
#[test]
fn a_cookie_does_not_pass_the_limit_on_connections() {
    let mut world = World::with(
        |_| {},
        |server| {
            server.limits.syn_queue = 0;
            server.limits.max_connections = 1;
        },
    );
    world.connect();
    let id = world.start_connect(ENDPOINT);
    world.settle();
    assert_eq!(world.server.connections(), 1);
    assert_eq!(world.server.counters().table_full, 1);
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Reset));
}

#[test]
fn a_half_open_connection_is_given_up_in_the_end() {
    let mut world = World::new();
    world.start_connect(ENDPOINT);
    world.server.turn();
    assert_eq!(world.server.half_open(), 1);
    // The client is gone: only the server turns from here on.
    for _ in 0..100_000 {
        if world.server.half_open() == 0 {
            break;
        }
        world.clock.advance_to(world.server.next_deadline());
        world.server.turn();
        world.server.check_invariants().unwrap();
    }
    assert_eq!(
        (
            world.server.half_open(),
            world.server.counters().syn_expired
        ),
        (0, 1)
    );
    assert_eq!(world.server.tcp_counters().syn_retrans, 5);
}

#[test]
fn the_limit_on_connections_holds_on_both_sides() {
    let mut world = World::with(|_| {}, |server| server.limits.max_connections = 3);
    for _ in 0..3 {
        world.connect();
    }
    let id = world.start_connect(ENDPOINT);
    world.settle();
    assert_eq!(world.server.connections(), 3);
    assert_eq!(world.server.counters().table_full, 1);
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Reset));

    let mut world = World::with(|client| client.limits.max_connections = 2, |_| {});
    world.connect();
    world.connect();
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    world.client_probe.act(move |shard| {
        *slot.borrow_mut() = Some(shard.connect(ENDPOINT, None, 0));
    });
    world.settle();
    assert_eq!(*result.borrow(), Some(Err(ConnectError::TableFull)));
    assert_eq!(world.client.counters().connect_failed, 1);
}

#[test]
fn too_many_time_waits_end_the_oldest() {
    let mut world = World::with(|client| client.limits.time_wait = 2, |_| {});
    for round in 1..=3 {
        let (id, _) = world.connect();
        world.client_probe.on(id, |conn| conn.close());
        world.settle();
        assert_eq!(world.client.time_waits(), round.min(2));
    }
    assert_eq!(world.client.counters().time_wait_overflow, 1);
}

#[test]
fn a_slow_reader_loses_nothing_and_hears_of_the_end_last() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    {
        let mut state = world.server_probe.0.borrow_mut();
        state.appetite = 0;
        state.echo = false;
    }
    let sent = pattern(20_000);
    let bytes = sent.clone();
    world.client_probe.on(id, move |conn| {
        assert_eq!(conn.send(&bytes), bytes.len());
        conn.shutdown();
    });
    world.settle();
    assert_eq!(world.server_probe.received(peer), []);
    assert!(
        !world
            .server_probe
            .events()
            .contains(&Event::PeerClosed(peer))
    );
    assert!(world.server.blocks_in_use().0 >= 10);
    world.server_probe.0.borrow_mut().appetite = 1000;
    for _ in 0..40 {
        world.server_probe.on(peer, |conn| conn.resume());
        world.settle();
        if world.server_probe.closed(peer).is_some() {
            break;
        }
    }
    assert_eq!(world.server_probe.received(peer), sent);
    let end = [
        Event::PeerClosed(peer),
        Event::Closed(peer, CloseReason::Finished),
    ];
    assert_eq!(world.server_probe.events()[1..], end);
    assert_eq!(world.server.blocks_in_use(), (0, 0));
}

/// The side that closed first gets the peer's last bytes together with its FIN, and is then done
/// with TCP; what its service has not taken must be there all the same.
#[test]
fn bytes_that_came_with_the_end_outlive_it() {
    let mut world = World::new();
    world.server_probe.0.borrow_mut().close_back = false;
    let (id, peer) = world.connect();
    world.client_probe.on(id, |conn| conn.shutdown());
    world.settle();
    world.client_probe.0.borrow_mut().appetite = 0;
    world.server_probe.on(peer, |conn| {
        conn.send(b"the very end");
        conn.shutdown();
    });
    world.settle();
    assert_eq!(world.client_probe.closed(id), None);
    assert_eq!(world.client.time_waits(), 1);
    world.client_probe.0.borrow_mut().appetite = usize::MAX;
    world.client_probe.on(id, |conn| conn.resume());
    world.settle();
    assert_eq!(world.client_probe.received(id), b"the very end");
    let end = [
        Event::PeerClosed(id),
        Event::Closed(id, CloseReason::Finished),
    ];
    assert_eq!(world.client_probe.events()[1..], end);

    // A service that never asks for them does not keep the record for ever.
    let (id, peer) = world.connect();
    world.client_probe.on(id, |conn| conn.shutdown());
    world.settle();
    world.client_probe.0.borrow_mut().appetite = 0;
    world.server_probe.on(peer, |conn| {
        conn.send(b"unheard");
        conn.shutdown();
    });
    world.settle();
    assert_eq!(world.client.connections(), 1);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Finished));
    assert_eq!(
        (world.client.connections(), world.client.blocks_in_use()),
        (0, (0, 0))
    );
}

#[test]
fn a_writer_that_was_cut_short_is_woken() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world.server_probe.0.borrow_mut().echo = false;
    let taken = Rc::new(RefCell::new(0));
    let slot = Rc::clone(&taken);
    world.client_probe.on(id, move |conn| {
        *slot.borrow_mut() = conn.send(&pattern(1 << 20));
        assert_eq!(conn.send_space(), 0);
    });
    world.settle();
    assert_eq!(*taken.borrow(), 256 * 1024);
    assert_eq!(
        world.server_probe.received(peer),
        pattern(1 << 20)[..256 * 1024]
    );
    assert!(world.client_probe.0.borrow().writable > 0);
}

#[test]
fn without_blocks_send_takes_less_and_goes_on_later() {
    let mut world = World::with(|client| client.limits.send_blocks = 4, |_| {});
    world.server_probe.0.borrow_mut().echo = false;
    let (first, _) = world.connect();
    let (second, _) = world.connect();
    // Both in one turn, before anything is acknowledged.
    world.client_probe.on(first, move |conn| {
        assert_eq!(conn.send(&pattern(10_000)), 8192);
        assert!(conn.select(second));
        assert_eq!((conn.send_space(), conn.send(b"x")), (0, 0));
    });
    world.settle();
    assert_eq!(world.client.counters().send_blocks_empty, 2);
    assert_eq!(world.client_probe.0.borrow().writable, 2);
    assert_eq!(world.client.blocks_in_use(), (0, 0));
}

#[test]
fn without_blocks_segments_are_dropped_before_they_are_acknowledged() {
    let mut world = World::with(|_| {}, |server| server.limits.receive_blocks = 4);
    {
        let mut state = world.server_probe.0.borrow_mut();
        state.appetite = 0;
        state.echo = false;
    }
    let (id, peer) = world.connect();
    let sent = pattern(30_000);
    let bytes = sent.clone();
    world
        .client_probe
        .on(id, move |conn| assert_eq!(conn.send(&bytes), bytes.len()));
    world.pass(Duration::from_secs(2));
    let counters = world.server.counters();
    assert!(counters.receive_blocks_empty > 0);
    assert!(world.server.blocks_in_use().0 <= 4);
    world.server_probe.0.borrow_mut().appetite = usize::MAX;
    for _ in 0..60 {
        world.server_probe.on(peer, |conn| conn.resume());
        world.pass(Duration::from_secs(5));
    }
    assert_eq!(world.server_probe.received(peer), sent);
    assert_eq!(world.server_probe.closed(peer), None);
}

#[test]
fn a_service_that_panics_costs_its_own_connections_only() {
    let mut world = World::new();
    let poisoned = common::Probe::echo();
    poisoned.0.borrow_mut().poison = Some(0xff);
    let service = world.server.add_service(Box::new(poisoned.clone()));
    assert!(world.server.listen(Endpoint::new(SERVER, 80), service));
    let (healthy, _) = world.connect();
    let sick: Vec<_> = (0..3)
        .map(|_| world.start_connect(Endpoint::new(SERVER, 80)))
        .collect();
    world.settle();
    world
        .client_probe
        .on(sick[1], |conn| assert_eq!(conn.send(&[0xff]), 1));
    world.settle();
    for id in &sick {
        assert_eq!(world.client_probe.closed(*id), Some(CloseReason::Reset));
    }
    world
        .client_probe
        .on(healthy, |conn| assert_eq!(conn.send(b"still here"), 10));
    world.settle();
    assert_eq!(world.client_probe.received(healthy), b"still here");
    assert_eq!(
        (
            world.server.connections(),
            world.server.counters().service_panics
        ),
        (1, 1)
    );
    assert_eq!(
        world.server.mailbox().next_notice(),
        Some(Notice::ServicePanicked(service))
    );
    let late = world.start_connect(Endpoint::new(SERVER, 80));
    world.settle();
    assert_eq!(world.client_probe.closed(late), Some(CloseReason::Refused));
}

#[test]
fn a_connection_waits_for_its_path_and_not_for_ever() {
    let far = Address::v4([10, 9, 9, 9]);
    let mut world = World::with(|client| client.limits.waiting_for_path = 3, |_| {});
    let endpoint = Endpoint::new(far, PORT);
    let ids: Vec<_> = (0..3).map(|_| world.start_connect(endpoint)).collect();
    world.client_probe.act(move |shard| {
        let refused = shard.connect(endpoint, None, 0);
        assert_eq!(refused, Err(ConnectError::TooManyWaiting));
    });
    world.settle();
    let mailbox = world.client.mailbox();
    assert_eq!(mailbox.next_request().unwrap().remote, far);
    assert_eq!(mailbox.next_request(), None);
    world.client_probe.on(ids[0], |conn| conn.close());
    world.settle();
    assert_eq!(
        world.client_probe.closed(ids[0]),
        Some(CloseReason::Aborted)
    );
    world.pass(Duration::from_secs(4));
    assert_eq!(
        world.client_probe.closed(ids[1]),
        Some(CloseReason::Unreachable)
    );
    assert_eq!(world.client.counters().path_unresolved, 2);

    // The server is found behind a path with a smaller MTU, and what was sent early arrives.
    world
        .server
        .mailbox()
        .send(byway_stack::mailbox::Command::AddAddress(far))
        .unwrap();
    world.server.listen(endpoint, 0);
    let id = world.start_connect(endpoint);
    world
        .client_probe
        .on(id, |conn| assert_eq!(conn.send(&pattern(3000)), 3000));
    world.settle();
    assert_eq!(world.client_probe.opened().len(), 0);
    let update = byway_stack::path::PathUpdate {
        remote: far,
        local: CLIENT,
        src: common::CLIENT_MAC,
        dst: common::SERVER_MAC,
        vlan: None,
        mtu: 900,
    };
    mailbox
        .send(byway_stack::mailbox::Command::Path(update))
        .unwrap();
    world.settle();
    assert_eq!(world.client_probe.received(id), pattern(3000));
    let mss = Rc::new(RefCell::new(0));
    let slot = Rc::clone(&mss);
    world.client_probe.on(id, move |conn| {
        *slot.borrow_mut() = conn.info().unwrap().mss
    });
    world.settle();
    assert_eq!(*mss.borrow(), 860 - 12);
}

/// The kernel's choice for the route, once it is known; unless segments to it would not reach us,
/// or the application named one. What was asked of the connection in the meantime stays.
//= rfc9293 3.9.1.1 MUST-43 MUST-44 MUST-45
#[test]
fn the_route_chooses_the_local_address() {
    let other = Address::v4([10, 0, 0, 77]);
    let stranger = Address::v4([192, 0, 2, 1]);
    let far = Address::v4([10, 9, 9, 9]);
    for (routed, named, expected) in [
        (other, None, other),
        (CLIENT, None, CLIENT),
        (stranger, None, CLIENT),
        (other, Some(Endpoint::new(CLIENT, 0)), CLIENT),
        (other, Some(Endpoint::new(CLIENT, 61_000)), CLIENT),
        (CLIENT, Some(Endpoint::new(other, 0)), other),
    ] {
        let mut world = World::with(|client| client.addresses.push(other), |_| {});
        let add = byway_stack::mailbox::Command::AddAddress(far);
        world.server.mailbox().send(add).unwrap();
        world.server.listen(Endpoint::new(far, PORT), 0);
        let options = byway_stack::ConnOptions {
            nagle: Some(true),
            keep_alive: Some(true),
            hop_limit: Some(9),
            ..Default::default()
        };
        world.client_probe.act(move |shard| {
            let to = Endpoint::new(far, PORT);
            let id = shard.connect_with(to, named, 5, &options).unwrap();
            assert!(shard.select(id));
            assert_eq!(shard.send(b"early"), 5);
            assert!(shard.set_hop_limit(8));
            shard.set_user_timeout(Some(Duration::from_secs(1)));
        });
        world.settle();
        let update = path(far, routed, common::CLIENT_MAC, common::SERVER_MAC);
        world.client.mailbox().send(update).unwrap();
        world.settle();
        let id = world.client_probe.opened()[0];
        world.client_probe.on(id, move |conn| {
            assert_eq!(conn.flow().local.address, expected);
            assert!(named.is_none_or(|named| named.port == 0 || named.port == 61_000));
            assert_eq!(conn.token(), 5);
        });
        world.settle();
        assert_eq!(world.client_probe.received(id), b"early");
        assert_eq!(world.client.tcp_counters().active_opens, 1);
        let rest = world.client_probe.0.borrow().actions.len();
        assert_eq!(rest, 0);
    }
}

#[test]
fn an_unreachable_remote_fails_at_once() {
    let far = Address::v4([10, 9, 9, 9]);
    let mut world = World::new();
    let id = world.start_connect(Endpoint::new(far, PORT));
    world
        .client
        .mailbox()
        .send(byway_stack::mailbox::Command::Unreachable(far))
        .unwrap();
    world.settle();
    assert_eq!(
        world.client_probe.closed(id),
        Some(CloseReason::Unreachable)
    );
}

#[test]
fn stopping_closes_properly_and_then_is_done() {
    let mut world = World::new();
    let (id, peer) = world.connect();
    world
        .client_probe
        .on(id, |conn| assert_eq!(conn.send(&pattern(1000)), 1000));
    world.settle();
    world.server.stop();
    world.settle();
    assert_eq!(world.server_probe.closed(peer), Some(CloseReason::Finished));
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Finished));
    assert!(world.server.is_stopped());
    let late = world.start_connect(ENDPOINT);
    world.settle();
    assert_eq!(world.client_probe.closed(late), Some(CloseReason::Refused));
}

#[test]
fn a_peer_that_does_not_close_is_reset_when_the_time_is_over() {
    let mut world = World::new();
    world.client_probe.0.borrow_mut().close_back = false;
    let (id, _) = world.connect();
    world.server.stop();
    world.settle();
    assert!(!world.server.is_stopped());
    world.pass(Duration::from_secs(4));
    assert!(world.server.is_stopped());
    assert_eq!(world.client_probe.closed(id), Some(CloseReason::Reset));
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn out_of_frames_is_not_out_of_data() {
    let mut world = World::with(|client| client.limits.tx_per_turn = 3, |_| {});
    let (id, peer) = world.connect();
    let sent = pattern(200_000);
    let bytes = sent.clone();
    world
        .client_probe
        .on(id, move |conn| assert_eq!(conn.send(&bytes), bytes.len()));
    world.settle();
    assert_eq!(world.server_probe.received(peer), sent);
    assert_eq!(world.client_probe.received(id), sent);
    assert!(world.client.counters().tx_budget > 0);
}

#[test]
fn counters_have_names_and_drops_have_reasons() {
    let mut world = World::new();
    world.start_connect(Endpoint::new(SERVER, 9));
    world.settle();
    assert_eq!(
        world
            .server
            .tcp_counters()
            .dropped_for(DropReason::NoListener),
        1
    );
    let all = world.server.counter_snapshot();
    assert!(all.contains(&("BywayDropNoListener", 1)));
    assert!(all.contains(&("TcpOutRsts", 1)));
}

/// Stops its shard after some turns, the way a command of another thread would.
struct Brief(u32);

impl byway_stack::Service for Brief {
    fn on_data(&mut self, _conn: &mut byway_stack::Context<'_>, data: &[u8]) -> usize {
        data.len()
    }

    fn on_turn(&mut self, shard: &mut byway_stack::Context<'_>) -> bool {
        self.0 += 1;
        if self.0 == 100 {
            shard.stop();
        }
        false
    }
}

#[test]
fn run_ends_when_it_is_told_to() {
    use byway_stack::clock::MonotonicClock;
    use byway_stack::mailbox::Command;
    use byway_stack::memory::MemoryPort;
    use std::sync::atomic::AtomicBool;

    let shard = || {
        let (port, other) = MemoryPort::pair(16);
        let config = common::config(SERVER, common::SERVER_MAC);
        (
            byway_stack::Shard::new(port, config, MonotonicClock::new()),
            other,
        )
    };
    let never = AtomicBool::new(false);
    let (mut by_service, _wire) = shard();
    by_service.add_service(Box::new(Brief(0)));
    by_service.run(&never);
    assert!(by_service.is_stopped() && by_service.counters().turns >= 100);

    let (mut by_command, _wire) = shard();
    by_command.mailbox().send(Command::Stop).unwrap();
    by_command.run(&never);
    assert!(by_command.is_stopped());

    let (mut by_flag, _wire) = shard();
    by_flag.run(&AtomicBool::new(true));
    assert!(by_flag.is_stopped());
}

//= rfc9293 3.9.1.1 MUST-46
#[test]
fn nobody_connects_to_what_is_no_host() {
    let mut world = World::new();
    for octets in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
    ] {
        world.client_probe.act(move |shard| {
            let remote = Endpoint::new(Address::v4(octets), PORT);
            let refused = shard.connect(remote, None, 0);
            assert_eq!(refused, Err(ConnectError::BadRemote), "{octets:?}");
        });
    }
    for (first, last) in [(0, 0), (0, 1), (0xff, 1)] {
        let mut octets = [0; 16];
        (octets[0], octets[15]) = (first, last);
        world.client_probe.act(move |shard| {
            let remote = Endpoint::new(Address::v6(octets), PORT);
            let refused = shard.connect(remote, None, 0);
            assert_eq!(refused, Err(ConnectError::BadRemote), "{octets:?}");
        });
    }
    world.settle();
    assert!(world.client_probe.0.borrow().actions.is_empty());
    assert_eq!(world.client.counters().connect_failed, 8);
    assert_eq!(world.client.connections(), 0);
}

//= rfc9293 3.9.1.1 MUST-41 MUST-42
#[test]
fn listening_is_for_ports_with_connections_on_their_way_and_not_for_those_with_a_listener() {
    let mut world = World::new();
    // SYN-SENT: the path is not known yet.
    let local = Endpoint::new(CLIENT, 5000);
    world.client_probe.act(move |shard| {
        let far = Endpoint::new(Address::v4([10, 9, 9, 9]), PORT);
        assert!(shard.connect(far, Some(local), 0).is_ok());
    });
    while world.client.connections() == 0 {
        world.client.turn();
    }
    assert!(world.client.listen(local, 0));
    // SYN-RECEIVED: the handshake goes on under the listener that began it.
    let id = world.start_connect(ENDPOINT);
    world.server.turn();
    assert_eq!(world.server.half_open(), 1);
    let other = world.server.add_service(Box::new(common::Probe::new()));
    let any = Endpoint::new(Address::v4([0; 4]), PORT);
    assert!(world.server.listen(any, other));
    assert!(!world.server.listen(ENDPOINT, other), "it is taken");
    assert_eq!(world.server.counters().listeners_taken, 1);
    world.settle();
    assert_eq!(world.client_probe.opened(), [id]);
    assert_eq!(world.server_probe.opened().len(), 1);
}

#[test]
fn local_ports_are_used_up_and_not_used_twice() {
    let mut world = World::with(|client| client.ephemeral = 40_000..=40_002, |_| {});
    for _ in 0..3 {
        world.connect();
    }
    let refused = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&refused);
    world.client_probe.act(move |shard| {
        let any = shard.connect(ENDPOINT, None, 0);
        let taken = shard.connect(ENDPOINT, Some(Endpoint::new(CLIENT, 40_001)), 0);
        let other = shard.connect(ENDPOINT, Some(Endpoint::new(CLIENT, 40_003)), 0);
        let nowhere = shard.connect(Endpoint::new(SERVER, 0), None, 0);
        *slot.borrow_mut() = Some((any, taken, other.is_ok(), nowhere));
    });
    world.settle();
    let no_port = Err(ConnectError::NoPort);
    let expected = (no_port, no_port, true, Err(ConnectError::BadRemote));
    assert_eq!(*refused.borrow(), Some(expected));
}

/// Readers that stop share the pool with those that go on. Windows shrink as the pool fills, so that
/// the stopped ones cannot take all of it; whoever reads is served as before; and when the others
/// read again, everything arrives.
//= rfc9293 3.8.6 SHLD-14
#[test]
fn readers_that_stop_do_not_starve_one_that_reads() {
    const SLOW: usize = 24;
    let mut world = World::with(
        |client| client.limits.send_blocks = 16_384,
        |server| {
            server.limits.receive_blocks = 256;
            server.tcp.rcv_buf = 1 << 20;
        },
    );
    world.server_probe.0.borrow_mut().echo = false;
    let all: Vec<_> = (0..=SLOW).map(|_| world.connect()).collect();
    let (reader, slow) = all.split_last().expect("there are some");
    let sent = pattern(200_000);
    // The server's service takes nothing of any but the reader's.
    world.server_probe.0.borrow_mut().only = Some(reader.1);
    for (id, _) in slow {
        let bytes = sent.clone();
        world
            .client_probe
            .on(*id, move |conn| assert_eq!(conn.send(&bytes), bytes.len()));
    }
    world.pass(Duration::from_secs(5));
    let (used, _) = world.server.blocks_in_use();
    assert!((128..250).contains(&used), "{used}: short, and not used up");

    // Who opens now is offered no more than the SYN-ACK did.
    let (late, _) = world.connect();
    world.client_probe.on(late, |conn| {
        assert_eq!(conn.send(b"x"), 1);
    });
    world.pass(Duration::from_millis(100));
    world.client_probe.on(late, |conn| {
        let window = conn.info().expect("it is there").snd_wnd;
        assert!(window <= 0xffff, "{window}");
        conn.abort();
    });
    world.settle();

    let started = world.clock.peek();
    let drops = world.server.counters().receive_blocks_empty;
    let bytes = sent.clone();
    world.client_probe.on(reader.0, move |conn| {
        assert_eq!(conn.send(&bytes), bytes.len())
    });
    let mut rounds = 0;
    while world.server_probe.received(reader.1).len() < sent.len() {
        world.pass(Duration::from_millis(1));
        rounds += 1;
        assert!(rounds < 500, "the reader starves");
    }
    assert!(world.clock.peek().since(started) < Duration::from_millis(500));
    let late = world.server.counters().receive_blocks_empty - drops;
    assert!(
        late < SLOW as u64 * 8,
        "{late}: only what the stopped ones probe with"
    );

    world.server_probe.0.borrow_mut().only = None;
    for _ in 0..40 {
        for (_, peer) in slow {
            world.server_probe.on(*peer, |conn| conn.resume());
        }
        world.pass(Duration::from_secs(2));
    }
    for (_, peer) in slow {
        assert_eq!(world.server_probe.received(*peer), sent);
    }
    assert_eq!(world.server.blocks_in_use().0, 0);
}
