package bench

import "context"

func measurePull(ctx context.Context, b *Bench) ([]Result, error)     { return nil, nil }
func measureAnswer(ctx context.Context, b *Bench) ([]Result, error)   { return nil, nil }
func measureMemory(ctx context.Context, b *Bench) ([]Result, error)   { return nil, nil }
func measureDisk(ctx context.Context, b *Bench) ([]Result, error)     { return nil, nil }
func measureLost(ctx context.Context, b *Bench) ([]Result, error)     { return nil, nil }
func measureLatency(ctx context.Context, b *Bench) ([]Result, error)  { return nil, nil }
func measureRuntimes(ctx context.Context, b *Bench) ([]Result, error) { return nil, nil }
func measureBundle(ctx context.Context, b *Bench) ([]Result, error)   { return nil, nil }
func measureFleet(ctx context.Context, b *Bench) ([]Result, error)    { return nil, nil }
