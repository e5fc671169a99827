import NIOCore
import Crypto
import HTTPTypes
import DequeModule
import CCrossServerZlib
