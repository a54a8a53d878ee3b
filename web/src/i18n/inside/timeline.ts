/** The moments of training. */
import { catalogue } from "../catalogue";

export const timeline = catalogue(
  {
    moment: "Moment of training",
    play: "Play through training",
    pause: "Stop",
    live: "Live",
    toLive: "To the newest",
    liveHint: "Go to the newest moment, and on with each new one",
    initialWeights: "Before training",
    stepNumber: "step {step}",
    epochNumber: "epoch {epoch}",
    checkpoint: "checkpoint",
    bestCheckpoint: "best checkpoint",
    snapshot: "snapshot",
  },
  {
    moment: "训练的时刻",
    play: "播放训练过程",
    pause: "停止",
    live: "实时",
    toLive: "转到最新",
    liveHint: "转到最新时刻，并随新时刻前进",
    initialWeights: "训练之前",
    stepNumber: "第 {step} 步",
    epochNumber: "{epoch} 轮",
    checkpoint: "检查点",
    bestCheckpoint: "最佳检查点",
    snapshot: "快照",
  },
);
