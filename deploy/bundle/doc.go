// Package bundle holds what a host needs, for one architecture: drayd,
// dray-oci, and a manifest that names them.
//
//	dray built with -tags bundled   archives made by deploy/bundle/cmd/mkbundle, embedded
//	otherwise                       made of drayd and dray-oci beside the running program,
//	                                and kept in the user's cache
//
// The archive is a gzip-compressed tar, because that is what every host can
// unpack with nothing of dray on it. Its members are the manifest and the two
// programs; the digest of a bundle is the SHA-256 of the manifest, which holds
// the programs' own.
package bundle
