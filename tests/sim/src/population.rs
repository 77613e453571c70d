//! Drawing scenarios from seeds, and making those that a test asks for.

use crate::draw::Draw;
use crate::scenario::{
    Begin, Blackout, Class, ConnectionPlan, EnginePlan, LinkPlan, START, Scenario, SidePlan,
    TailLoss,
};
use byway_impair::{Impairment, QueueLimit, Rate, ReorderBy, Share};
use byway_tcp::config::{Ecn, KeepAlive};
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, CongestionAlgorithm};

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        // What classes have in common is drawn the same way for all.
        let mut kind = Draw::new(!seed);
        let class = if Draw::new(seed).chance(0.2) {
            kind.pick(&[Class::Clean, Class::Queued])
        } else {
            kind.pick(&[
                Class::Chaos,
                Class::Chaos,
                Class::Chaos,
                Class::Narrow,
                Class::Reuse,
            ])
        };
        Self::of_class(class, seed)
    }

    /// The scenario that a seed stands for in a class.
    pub fn of_class(class: Class, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        // What `draw` takes the class from.
        draw.u64();
        let engines = draw.pick(&[2, 2, 2, 3, 4]);
        let chaos = draw.log(500_000_000, 20_000_000_000);
        let heal_at = START + Duration::from_nanos(chaos);
        let mut plans: Vec<EnginePlan> = (0..engines).map(|_| engine(&mut draw, class)).collect();
        let links = links(&mut draw, class, engines, chaos);
        let connections = connections(&mut draw, class, &plans, chaos);
        for (number, plan) in plans.iter_mut().enumerate() {
            choose_wrap(&mut draw, number, plan, &connections);
        }
        let mut scenario = Self {
            seed,
            class,
            engines: plans,
            links,
            heal_at,
            connections,
            forged: 0.0,
        };
        scenario.vary();
        scenario
    }

    /// A clean path between two engines. One sends a flight of so many full segments, of which the
    /// last ones get lost, once.
    pub fn tail_loss(round_trip: Duration, segments: u32, lost: u32) -> Self {
        let mut draw = Draw::new(u64::from(segments) << 8 | u64::from(lost));
        let mut engine = || EnginePlan {
            tcp: Config::default(),
            mtu: 1500,
            frames: 256,
            wraps: None,
            receive_blocks: 512,
            send_blocks: 512,
            ..engine(&mut draw, Class::Clean)
        };
        let path = Impairment {
            delay: round_trip / 2,
            ..Impairment::default()
        };
        let link = |number: usize| LinkPlan {
            chaos: path.clone(),
            healed: path.clone(),
            ecn_marks: 0.0,
            blackouts: Vec::new(),
            tail_loss: (number == 1).then_some(TailLoss {
                after: segments - lost,
                count: lost,
            }),
            router: None,
            late_copies: 0.0,
        };
        let sender = SidePlan {
            // Timestamps take twelve octets of each.
            bytes: segments * 1448,
            fin_last: true,
            ..SidePlan::default()
        };
        Self {
            seed: 0,
            class: Class::Chaos,
            engines: vec![engine(), engine()],
            links: (0..4).map(link).collect(),
            heal_at: Instant::NEVER,
            connections: vec![ConnectionPlan {
                engines: [0, 1],
                v6: false,
                opens_at: START,
                crossing: false,
                sides: [
                    sender,
                    SidePlan {
                        begin: Begin::After(segments * 1448),
                        ..SidePlan::default()
                    },
                ],
                origin: 0,
                then: None,
            }],
            forged: 0.0,
        }
    }
}

/// Sizes of buffers, from one octet on.
const BUFFERS: [u32; 12] = [
    1, 100, 536, 1000, 2048, 5000, 16_384, 65_535, 65_536, 100_000, 262_144, 1_048_576,
];

fn engine(draw: &mut Draw, class: Class) -> EnginePlan {
    let ms = Duration::from_millis;
    let clean = class.is_clean();
    let tiny = draw.chance(0.15);
    let buffer = |draw: &mut Draw| draw.pick(&BUFFERS[if tiny { 0 } else { 4 }..]);
    let (rcv_buf, snd_buf) = (buffer(draw), buffer(draw));
    let tcp = Config {
        rcv_buf,
        // Less than a step of the window's scale could not be announced.
        rcv_buf_initial: buffer(draw).max(64).min(rcv_buf),
        snd_buf,
        snd_buf_initial: buffer(draw).min(snd_buf),
        pacing: draw.chance(0.5),
        syn_cookies: draw.chance(0.5),
        window_scaling: draw.chance(0.8),
        timestamps: draw.chance(0.7),
        sack: draw.chance(0.75),
        ecn: draw.pick(&[Ecn::Off, Ecn::WhenAsked, Ecn::On]),
        nagle: draw.chance(0.3),
        congestion: draw.pick(&[CongestionAlgorithm::Cubic, CongestionAlgorithm::Reno]),
        initial_window: draw.pick(&[1, 2, 4, 10, 10, 10]),
        rto_min: if clean {
            ms(200)
        } else {
            ms(draw.pick(&[50, 200, 200, 400]))
        },
        rto_max: Duration::from_secs(draw.pick(&[10, 30, 60, 60])),
        delayed_ack: ms(draw.pick(if clean { &[10, 40] } else { &[1, 40, 40, 200] })),
        quick_acks: draw.pick(&[0, 1, 16, 16]),
        keep_alive: KeepAlive {
            idle: ms(draw.pick(&[500, 2_000, 8_000])),
            interval: ms(draw.pick(&[300, 1_000])),
            probes: 200,
        },
        reassembly_ranges: draw.pick(&[1, 4, 32, 32]),
        ..Config::default()
    };
    let blocks = |draw: &mut Draw| {
        if clean {
            4096
        } else {
            draw.pick(&[96, 512, 2048])
        }
    };
    EnginePlan {
        tcp,
        mtu: draw.pick(&[1500, 1500, 1500, 1280, 1400, 576]),
        frames: if clean {
            1024
        } else {
            draw.pick(&[16, 64, 256, 256])
        },
        isn_secret: [draw.u64(), draw.u64()],
        timestamp_offset: draw.u64() as u32,
        hash_key: [draw.u64(), draw.u64()],
        uptime: uptime(draw),
        wraps: None,
        receive_blocks: blocks(draw),
        send_blocks: blocks(draw),
    }
}

/// Often just before the clock in milliseconds wraps, which it does after seven weeks.
fn uptime(draw: &mut Draw) -> Duration {
    let wrap = Duration::from_millis(1 << 32);
    if draw.chance(0.3) {
        wrap - Duration::from_nanos(draw.below(30_000_000_000))
    } else {
        Duration::from_nanos(draw.below(1 << 50))
    }
}

/// In most engines one connection's sequence numbers wrap soon, and in some the timestamps do.
fn choose_wrap(
    draw: &mut Draw,
    number: usize,
    plan: &mut EnginePlan,
    connections: &[ConnectionPlan],
) {
    let mine: Vec<(usize, u32)> = connections
        .iter()
        .enumerate()
        .filter_map(|(index, connection)| {
            let side = connection.engines.iter().position(|e| *e == number)?;
            Some((index, connection.sides[side].bytes))
        })
        .collect();
    if !mine.is_empty() && draw.chance(0.7) {
        let (index, bytes) = draw.pick(&mine);
        plan.wraps = Some((index, draw.below(u64::from(bytes) + 3) as u32));
    }
    if draw.chance(0.3) {
        let ticks = (START + plan.uptime).as_millis_wrapped();
        plan.timestamp_offset = 0u32
            .wrapping_sub(ticks)
            .wrapping_sub(draw.below(20_000) as u32);
    }
}

fn links(draw: &mut Draw, class: Class, engines: usize, chaos: u64) -> Vec<LinkPlan> {
    (0..engines * engines)
        .map(|_| link(draw, class, chaos))
        .collect()
}

fn share(fraction: f64) -> Share {
    Share::new(fraction).unwrap_or(Share::NONE)
}

fn link(draw: &mut Draw, class: Class, chaos: u64) -> LinkPlan {
    let delay = Duration::from_nanos(draw.log(10_000, 150_000_000));
    // Behind a bottleneck the round trips grow with what is sent, and a tail loss probe after two of
    // the shortest may be early; that is as RFC 8985 wants it.
    let limited = draw.chance(0.4) && !class.is_clean();
    let rate = limited.then(|| draw.log(200_000, 1_000_000_000));
    let rate = rate.and_then(Rate::bits_per_second);
    let healed = Impairment {
        delay,
        rate,
        queue: QueueLimit::Frames(100_000),
        ..Impairment::default()
    };
    if class.is_clean() {
        return LinkPlan {
            chaos: healed.clone(),
            healed,
            ecn_marks: 0.0,
            blackouts: Vec::new(),
            tail_loss: None,
            router: None,
            late_copies: 0.0,
        };
    }
    let mut impaired = healed.clone();
    if draw.chance(0.6) {
        impaired.loss = share(draw.fraction(0.0005, 0.3));
        impaired.loss_burst = draw.chance(0.4).then(|| draw.fraction(1.5, 12.0));
    }
    if draw.chance(0.4) {
        impaired.jitter = delay.mul_f64(draw.fraction(0.01, 1.0));
    }
    if draw.chance(0.4) {
        impaired.reorder = share(draw.fraction(0.001, 0.3));
        impaired.reorder_by = if draw.chance(0.5) {
            ReorderBy::NoDelay
        } else {
            ReorderBy::Late(Duration::from_nanos(draw.log(10_000, 100_000_000)))
        };
    }
    if draw.chance(0.4) {
        impaired.duplicate = share(draw.fraction(0.001, 0.3));
    }
    if draw.chance(0.4) {
        impaired.corrupt = share(draw.fraction(0.001, 0.2));
    }
    if rate.is_some() && draw.chance(0.7) {
        impaired.queue = QueueLimit::Frames(draw.log(1, 200) as usize);
    }
    let blackouts = (0..if draw.chance(0.2) { draw.below(3) } else { 0 }).map(|_| {
        let from = START + Duration::from_nanos(draw.below(chaos));
        let until = from + Duration::from_nanos(draw.log(10_000_000, 5_000_000_000));
        Blackout { from, until }
    });
    LinkPlan {
        blackouts: blackouts.collect(),
        ecn_marks: if draw.chance(0.4) {
            draw.fraction(0.001, 0.5)
        } else {
            0.0
        },
        chaos: impaired,
        healed,
        tail_loss: None,
        router: None,
        late_copies: 0.0,
    }
}

fn connections(
    draw: &mut Draw,
    class: Class,
    engines: &[EnginePlan],
    chaos: u64,
) -> Vec<ConnectionPlan> {
    let many = draw.chance(0.15);
    let count = if many {
        10 + draw.below(50)
    } else {
        1 + draw.below(5)
    };
    let budget = draw.log(2_000, 3_000_000) / count;
    (0..count)
        .map(|number| ConnectionPlan {
            origin: number as usize,
            ..connection(draw, class, engines, chaos, budget)
        })
        .collect()
}

fn connection(
    draw: &mut Draw,
    class: Class,
    engines: &[EnginePlan],
    chaos: u64,
    budget: u64,
) -> ConnectionPlan {
    let first = draw.below(engines.len() as u64) as usize;
    let second = (first + 1 + draw.below(engines.len() as u64 - 1) as usize) % engines.len();
    let buffers = [first, second].map(|engine| {
        let tcp = &engines[engine].tcp;
        tcp.rcv_buf.min(tcp.snd_buf)
    });
    // A window of one octet has to stay affordable.
    let budget = budget.min(u64::from(buffers[0].min(buffers[1])) * 200);
    let [mut leader, mut follower] = [side(draw, budget), side(draw, budget)];
    follower.begin = match draw.below(5) {
        0 => Begin::AfterFin,
        1 => Begin::After(draw.below(u64::from(leader.bytes) + 1) as u32),
        _ => Begin::AtOpen,
    };
    follower.fin_last = draw.chance(0.5);
    // A reader of single octets has to stay affordable, too.
    leader.appetite = leader.appetite.max(follower.bytes / 100);
    follower.appetite = follower.appetite.max(leader.bytes / 100);
    let mut sides = if draw.chance(0.5) {
        [leader, follower]
    } else {
        leader.fin_last = false;
        [follower, leader]
    };
    if !class.is_clean() && draw.chance(0.1) {
        let total = u64::from(sides[0].bytes) + u64::from(sides[1].bytes);
        let who = draw.below(2) as usize;
        sides[who].abort_after = Some(draw.below(total + 1) as u32);
        // Else a side with nothing to send would never learn of it.
        sides.iter_mut().for_each(|side| side.keep_alive = true);
    }
    ConnectionPlan {
        engines: [first, second],
        v6: draw.chance(0.3),
        opens_at: START + Duration::from_nanos(draw.below(chaos / 2)),
        crossing: !class.is_clean() && draw.chance(0.1),
        sides,
        origin: 0,
        then: None,
    }
}

fn side(draw: &mut Draw, budget: u64) -> SidePlan {
    let bytes = match draw.below(6) {
        0 => 0,
        1 => draw.below(100).min(budget) as u32,
        _ => draw.log(1, budget.max(2)) as u32,
    };
    let chunk = draw.log(1.max(u64::from(bytes) / 200), 65_536) as u32;
    let appetite = draw.log(1.max(u64::from(bytes) / 100), 100_000) as u32;
    let slow_reader = draw.chance(0.25);
    SidePlan {
        bytes,
        chunk,
        write_pause: if draw.chance(0.3) {
            Duration::from_nanos(draw.log(1_000, 300_000_000))
        } else {
            Duration::ZERO
        },
        appetite: if slow_reader { appetite } else { u32::MAX },
        read_pause: if slow_reader {
            Duration::from_nanos(draw.log(1_000, 300_000_000))
        } else {
            Duration::ZERO
        },
        full_close: draw.chance(0.5),
        nagle: draw.chance(0.2),
        cork: draw.chance(0.1),
        keep_alive: draw.chance(0.2),
        congestion: draw.chance(0.2).then_some(CongestionAlgorithm::Reno),
        ..SidePlan::default()
    }
}
