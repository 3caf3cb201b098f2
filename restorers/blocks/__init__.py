"""What several methods share: attention, scans, deformable convolution, filters, slabs."""
