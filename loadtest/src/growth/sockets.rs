//! More and more idle sockets: what one costs in memory, and to open.

use super::{
    args::{Curve, GrowthOptions, sizes},
    bench::{Bench, microseconds_each, phase, server_use},
    data::{Growth, Quantity},
    say,
};

const SIZES: &[u64] = &[1_000, 2_000, 5_000, 10_000];

/// Measures all sizes, round by round, each on a server of its own.
pub(super) async fn measure(bench: &Bench, options: &GrowthOptions, growth: &mut Growth) -> Result<(), String> {
    bench.has_room_for(options.largest_sockets)?;
    for round in 1..=options.rounds {
        for size in sizes(SIZES, options.largest_sockets) {
            let server = bench.server(&bench.folder("sockets")?).await?;
            let hold = options.hold.as_secs_f64();
            let report = bench.run(&server, &format!("connect --count {size} --hold {hold}")).await?;
            server.stop().await?;
            let opening = microseconds_each(phase(&report, "open")?)?;
            let bytes = server_use(phase(&report, "hold")?)?.bytes_per_connection.ok_or("no socket was opened")?;
            let kib = bytes / 1024.0;
            growth.add(Curve::Sockets, "open", size, Quantity::MicrosecondsEach, opening);
            growth.add(Curve::Sockets, "idle", size, Quantity::KibEach, kib);
            say(&format!("{size} sockets"), round, options, &format!("{kib:.2} KiB and {opening:.1} µs each"));
        }
    }
    Ok(())
}
