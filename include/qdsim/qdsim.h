/* All public headers of QDSim. */
#ifndef QDSIM_QDSIM_H
#define QDSIM_QDSIM_H

#include "qdsim/array.h"
#include "qdsim/context.h"
#include "qdsim/device_pool.h"
#include "qdsim/dot.h"
#include "qdsim/file_matrix.h"
#include "qdsim/grid.h"
#include "qdsim/info.h"
#include "qdsim/material.h"
#include "qdsim/memory.h"
#include "qdsim/status.h"
#include "qdsim/text.h"

#endif
