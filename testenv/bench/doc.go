// Package bench measures dray as a person at a shell has it: the built
// programs, started anew for each figure, real hosts with a real sshd each,
// an image of the size that people have. cmd/bench is its command line.
//
// New makes what is measured: a lab, a registry on the loopback, and a project
// in a git checkout. Rows are the lines of the table; each brings the project
// into the state that it needs, so that any of them can be run alone. Results
// are values with a unit: at least five, of which the table shows the least,
// the median and the greatest.
//
//	b, err := bench.New(ctx, bench.Options{Bin: "bin", Count: 5})
//	defer b.Close(context.WithoutCancel(ctx))
//	report := b.Run(ctx, bench.Rows(), progress)
//	report.Markdown(os.Stdout)
//
// # What is deployed
//
// examples/web's server on a base of 30 MB (gzipped) with a layer of 30 MB,
// both of pseudo-random bytes, and the server itself, static, 8.5 MB. Nothing
// is compiled while something is measured: a version of the server is the
// program with other bytes in the place of its version, copied in. So a
// one-line change is a new program of 8.5 MB, in a layer of its own.
//
// # What the machine does beside it
//
// Builder, hosts, load and dray share this machine's processors. The report
// says how busy it was before anything was done, and what its host took away
// while it measured; the client's own processor time is part of the JSON.
//
// # What compares
//
// Times of other days and machines do not compare; multiples of a time of the
// same run do. So "runc run" of a program that ends at once is measured in every
// run, whatever rows are chosen, and each time is also given in multiples of it.
// And Debian's Docker does the same beside dray: its engines run in hosts of a
// lab of their own, with packages that the machine does not have.
//
// Not here: hosts (testenv), load clients (testenv/load).
package bench
