#include "CCrossServerZlib.h"
