environment "dev" { hosts = [host.local] }
