"""libtorrent-host.py ADDRESS TORRENT DIRECTORY seed|peer

A libtorrent session of the broadcast benchmark. Prints `ready` when it stands; a peer then waits for a line on standard
input, downloads, prints `done` when it has everything, and goes on sending. SIGTERM ends it."""

import sys

import libtorrent

SETTINGS = {
    # The tracker alone brings peers together; nothing else is to be looked for, and links are for TCP as for the others.
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "mixed_mode_algorithm": 0,
    # Know everybody at once.
    "connections_limit": 500,
    "connection_speed": 500,
    "torrent_connect_boost": 255,
    "min_reconnect_time": 1,
    "unchoke_slots_limit": 8,
    # Short queues of requests, so that what a peer asks for follows what others have; enough for a link and its delay.
    "request_queue_time": 1,
    "max_out_request_queue": 64,
    "predictive_piece_announce": 200,  # tells others of a piece this many milliseconds before it is complete
    # Copies lie in memory: no reason to wait for a disk.
    "aio_threads": 2,
    "hashing_threads": 1,
    "max_queued_disk_bytes": 64 << 20,
    "send_buffer_watermark": 2 << 20,
    "rate_limit_ip_overhead": False,
    "alert_mask": libtorrent.alert.category_t.status_notification | libtorrent.alert.category_t.error_notification,
}
WAIT_MS = 1000


def main(address, torrent, directory, role):
    session = libtorrent.session({**SETTINGS, "listen_interfaces": address + ":6881"})
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(torrent)
    params.save_path = directory
    params.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
    if role == "seed":
        params.flags |= libtorrent.torrent_flags.seed_mode
        session.add_torrent(params)
        say("ready")
    else:
        say("ready")
        sys.stdin.readline()
        session.add_torrent(params)
    while True:
        session.wait_for_alert(WAIT_MS)
        for alert in session.pop_alerts():
            print(alert.message(), file=sys.stderr, flush=True)
            if role == "peer" and isinstance(alert, libtorrent.torrent_finished_alert):
                say("done")


def say(word):
    print(word, flush=True)


main(*sys.argv[1:])
