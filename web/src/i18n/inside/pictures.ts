/** Choosing a picture. */
import { catalogue } from "../catalogue";

export const pictures = catalogue(
  {
    pictures: "Pictures",
    picture: "Picture",
    ownPicture: "your own picture",
    morePictures: "More pictures",
    chooseOwn: "Your picture",
    dropOrPaste: "or drop it on the large picture, or paste it",
    dropHere: "Drop the picture here",
    split: "Split",
    before: "Previous",
    next: "Next",
    firstPage: "This is the first page",
    lastPage: "This is the last page",
    fromTo: "{from}–{to} of {total}",
    loadingPictures: "Loading pictures …",
    snapshotsKnowPinned: "Snapshots know the pinned pictures alone; the first of them is shown. Go to a checkpoint for the other one.",
  },
  {
    pictures: "图片",
    picture: "图片",
    ownPicture: "你的图片",
    morePictures: "更多图片",
    chooseOwn: "选择自己的图片",
    dropOrPaste: "或拖到大图上，或直接粘贴",
    dropHere: "把图片放到这里",
    split: "数据划分",
    before: "上一页",
    next: "下一页",
    firstPage: "已是第一页",
    lastPage: "已是最后一页",
    fromTo: "第 {from}–{to} 张，共 {total} 张",
    loadingPictures: "正在读取图片……",
    snapshotsKnowPinned: "快照只保存了固定的几张图片，现显示其中第一张。要看另一张，请转到检查点。",
  },
);
