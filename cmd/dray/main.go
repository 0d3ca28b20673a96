// Command dray builds images, pushes them and brings them to environments,
// from one HCL file.
//
// What a person sees follows these rules. Results go to stdout, progress to
// stderr. The first line says what was asked, the last what is true now. An
// error says what failed and where, why, what state everything is in, and what
// to type next. With --json, every event is one line on stdout.
//
// Exit codes: 0 done; 1 failed, nothing changed; 2 (plan) there is a
// difference; 3 failed and reverted; 4 failed and not fully reverted; 5
// refused; 130 interrupted.
package main

import "os"

func main() { os.Exit(Main()) }
