"""Who is there: members hold leases, watchers are told of every change."""
