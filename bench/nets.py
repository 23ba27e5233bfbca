"""The paper's nets, by value (its appendix; the fully connected layer's 5 pieces are its text's)."""

from fitnets.values.net import Conv, Dense, Net

FULLY_CONNECTED = (Dense(width=500, pieces=5),)
TEACHER_NET = Net(
    input=(3, 32, 32),
    classes=10,
    convs=(
        Conv(width=96, kernel=8, pad=4, pool=4, pool_stride=2),
        Conv(width=192, kernel=8, pad=3, pool=4, pool_stride=2),
        Conv(width=192, kernel=5, pad=3, pool=2, pool_stride=2),
    ),
    dense=FULLY_CONNECTED,
)
FITNET_1 = Net.staged((3, 32, 32), 10, ((16, 16, 16), (32, 32, 32), (48, 48, 64)), dense=FULLY_CONNECTED)
FITNET_4 = Net.staged((3, 32, 32), 10, ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6), dense=FULLY_CONNECTED)
