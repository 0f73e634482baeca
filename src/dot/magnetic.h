/* Devices in a uniform magnetic field: minimal coupling  p -> p - q A  of a carrier of charge q, its spin
 * left aside. */
#ifndef QDS_DOT_MAGNETIC_H
#define QDS_DOT_MAGNETIC_H

#include "dot/device.h"
#include "la/magnetic_operator.h"
#include "la/spectrum.h"

/* The lowest states of the field-free operator `form` in the device's field: qds_hermitian_spectrum. */
qds_status qds_magnetic_spectrum(const qds_device *device, qds_tensor_operator *form,
                                 const qds_spectrum_options *options, qds_block *x, double *eigenvalues,
                                 double *residuals, qds_spectrum_statistics *statistics);

#endif
