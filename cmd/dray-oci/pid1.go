//go:build linux && cgo

// The C half of this package is a container's pid 1: pid1.c.

package main

import "C"
