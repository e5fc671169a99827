#include "CCrossServerMemory.h"
